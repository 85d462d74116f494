#include "kernels/vendor/algorithm_search.h"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>

#include "kernels/common/error.h"
#include "kernels/common/notice.h"
#include "kernels/common/tf32.h"

namespace cnpd::kernels {
namespace {

// Whether results computed in this mode have at least the precision of the arithmetic.
bool computes_in(Arithmetic arithmetic, Mathematics mathematics) {
    if (mathematics == Mathematics::fma) return true;
    return arithmetic != Arithmetic::float32 && mathematics != Mathematics::converting;
}

bool is_usable(const Measurement& result, std::size_t most_workspace) {
    return result.answer == Answer::success && result.deterministic &&
           result.workspace <= most_workspace;
}

}  // namespace

template <typename T>
Arithmetic arithmetic_of() {
    if constexpr (std::is_same_v<T, bfloat16>)
        return Arithmetic::bfloat16;
    else
        return tf32_allowed() ? Arithmetic::tf32 : Arithmetic::float32;
}
template Arithmetic arithmetic_of<float>();
template Arithmetic arithmetic_of<bfloat16>();

const char* name_of(Arithmetic arithmetic) {
    switch (arithmetic) {
        case Arithmetic::float32:
            return "float32";
        case Arithmetic::tf32:
            return "TF32";
        case Arithmetic::bfloat16:
            return "bfloat16";
    }
    throw Error("unknown arithmetic");
}

SearchKey search_key(const ConvolutionShape& s, Arithmetic arithmetic) {
    return {s.n, s.h, s.w, s.c, s.k, s.r, s.s, s.stride, s.pad, static_cast<int>(arithmetic)};
}

std::optional<ChosenAlgorithm> choose_algorithm(const std::vector<Measurement>& results,
                                                Arithmetic arithmetic, std::size_t most_workspace,
                                                const WorkspaceQuery& workspace) {
    for (const Measurement& each : results)
        if (is_usable(each, most_workspace) && computes_in(arithmetic, each.mathematics))
            return ChosenAlgorithm{each.algorithm, each.mathematics, each.workspace};
    for (const Measurement& each : results) {
        if (each.answer != Answer::success || !each.deterministic) continue;
        const auto bytes = workspace(each.algorithm, Mathematics::fma);
        if (bytes && *bytes <= most_workspace)
            return ChosenAlgorithm{each.algorithm, Mathematics::fma, *bytes};
    }
    return std::nullopt;
}

const std::optional<ChosenAlgorithm>& AlgorithmSearch::algorithm(
    const std::string& operation, Arithmetic arithmetic, std::size_t most_workspace,
    const std::function<Measurements()>& measure, const WorkspaceQuery& workspace) {
    if (decided_) return chosen_;
    const Measurements measured = measure();
    if (measured.answer == Answer::success)
        chosen_ = choose_algorithm(measured.results, arithmetic, most_workspace, workspace);
    const bool an_error =
        measured.answer == Answer::failed ||
        std::any_of(measured.results.begin(), measured.results.end(),
                    [](const Measurement& each) { return each.answer == Answer::failed; });
    if (!chosen_ && an_error) ++errors_;
    decided_ = chosen_ || !an_error || errors_ == kMostErrors;
    if (chosen_) return chosen_;
    const std::string why =
        !measured.error.empty() ? measured.error : "no deterministic algorithm for this shape";
    notice(fmt::format(
        "{} in {}: cuDNN: {}; {}", operation, name_of(arithmetic), why,
        decided_ ? "a slower kernel is used from now on" : "a slower kernel is used this time"));
    return chosen_;
}

std::string describe(const char* operation, const ConvolutionShape& s) {
    return fmt::format("{} of {}x{}x{}x{} with {} filters {}x{}, stride {}", operation, s.n, s.h,
                       s.w, s.c, s.k, s.r, s.s, s.stride);
}

}  // namespace cnpd::kernels
