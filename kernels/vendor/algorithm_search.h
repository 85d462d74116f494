// Selects one of a library's convolution algorithms. Independent of the library, so that it can be
// tested without it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/common/bfloat16.h"
#include "kernels/convolution/convolution.h"

namespace cnpd::kernels {

// The number formats that a convolution may compute with.
enum class Arithmetic {
    float32,   // plain float32 products
    tf32,      // float32 whose factors may be rounded for tensor cores
    bfloat16,  // bfloat16 factors on tensor cores, sums in float32
};

// The arithmetic for activations of type T (float or bfloat16): float32 is TF32 if tf32_allowed().
template <typename T>
Arithmetic arithmetic_of();
const char* name_of(Arithmetic arithmetic);

// Identifies a search. The arithmetic is part of it, because an algorithm, its mathematics mode and
// its scratch memory are only valid together.
using SearchKey = std::array<std::int64_t, 10>;
SearchKey search_key(const ConvolutionShape& shape, Arithmetic arithmetic);

// The library's mathematics modes, as in cuDNN.
enum class Mathematics {
    fma,           // no tensor cores
    standard,      // the library decides; may round float32 to TF32
    tensor_cores,  // may round float32 to TF32
    converting,    // may round to float16
};

enum class Answer { success, unsupported, failed };

// One measured algorithm.
struct Measurement {
    int algorithm = 0;
    Answer answer = Answer::success;
    bool deterministic = false;
    Mathematics mathematics = Mathematics::fma;  // used when it was measured
    std::size_t workspace = 0;                   // bytes of scratch memory in that mode
};

// The result of a search in the library.
struct Measurements {
    Answer answer = Answer::success;
    std::string error{};                 // message of an error, or empty
    std::vector<Measurement> results{};  // fastest first
};

// An algorithm and the settings that it has to be run with.
struct ChosenAlgorithm {
    int algorithm = 0;
    Mathematics mathematics = Mathematics::fma;
    std::size_t workspace = 0;  // bytes
    bool operator==(const ChosenAlgorithm&) const = default;
};

// The scratch memory in bytes that an algorithm needs in this mode; nothing if the library cannot
// combine them.
using WorkspaceQuery =
    std::function<std::optional<std::size_t>(int algorithm, Mathematics mathematics)>;

// The fastest of the algorithms that succeeded, are deterministic, compute in the arithmetic and
// need at most `most_workspace` bytes. In float32 an algorithm that was measured in a mode that may
// round to TF32 is selected only if none was measured with plain products, and then with the
// scratch memory that the query returns for plain products.
std::optional<ChosenAlgorithm> choose_algorithm(const std::vector<Measurement>& results,
                                                Arithmetic arithmetic, std::size_t most_workspace,
                                                const WorkspaceQuery& workspace);

// Remembers the algorithm of one operation on one shape in one arithmetic. If there is none, a
// notice says why a slower kernel runs, at every call; an error is remembered only after it has
// occurred kMostErrors times.
class AlgorithmSearch {
  public:
    static constexpr int kMostErrors = 3;

    // The algorithm, if there is one; measures if it is not known. Exceptions of `measure` and
    // `workspace` are passed on, and nothing is remembered. `operation` names the operation and the
    // shape in notices.
    const std::optional<ChosenAlgorithm>& algorithm(const std::string& operation,
                                                    Arithmetic arithmetic,
                                                    std::size_t most_workspace,
                                                    const std::function<Measurements()>& measure,
                                                    const WorkspaceQuery& workspace);

    // Whether the result is known, and the result.
    bool is_decided() const { return decided_; }
    const std::optional<ChosenAlgorithm>& chosen() const { return chosen_; }

  private:
    std::optional<ChosenAlgorithm> chosen_;
    bool decided_ = false;
    int errors_ = 0;
};

// "convolution_forward of 128x32x32x64 with 64 filters 3x3, stride 1"
std::string describe(const char* operation, const ConvolutionShape& shape);

}  // namespace cnpd::kernels
