// Which of a library's convolution algorithms is used: the decision without the library, so that it
// can be tested where there is none.
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

// The arithmetic in force for activations of type T (float or bfloat16): float32 is TF32 where
// tf32_allowed().
template <typename T>
Arithmetic arithmetic_of();
const char* name_of(Arithmetic arithmetic);

// What identifies a search. The arithmetic belongs to it, because an algorithm, its mathematics and
// its scratch memory are only valid together.
using SearchKey = std::array<std::int64_t, 10>;
SearchKey search_key(const ConvolutionShape& shape, Arithmetic arithmetic);

// The library's mathematics modes, as cuDNN has them.
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
    Mathematics mathematics = Mathematics::fma;  // that it was measured with
    std::size_t workspace = 0;                   // bytes of scratch memory under that mathematics
};

// The result of a search in the library.
struct Measurements {
    Answer answer = Answer::success;
    std::string error{};                 // of an answer other than success, in words
    std::vector<Measurement> results{};  // fastest first
};

// An algorithm and the settings that it has to be run with.
struct ChosenAlgorithm {
    int algorithm = 0;
    Mathematics mathematics = Mathematics::fma;
    std::size_t workspace = 0;  // bytes
    bool operator==(const ChosenAlgorithm&) const = default;
};

// The scratch memory in bytes that an algorithm needs with this mathematics; nothing where the
// library cannot combine them.
using WorkspaceQuery =
    std::function<std::optional<std::size_t>(int algorithm, Mathematics mathematics)>;

// The fastest of the algorithms that succeeded, are deterministic, compute in the arithmetic and
// need at most `most_workspace` bytes. In float32 an algorithm that was measured with a mathematics
// that may round to TF32 is taken only where none was measured with plain products, and then with
// the scratch memory that the query gives for plain products.
std::optional<ChosenAlgorithm> choose_algorithm(const std::vector<Measurement>& results,
                                                Arithmetic arithmetic, std::size_t most_workspace,
                                                const WorkspaceQuery& workspace);

// Remembers the algorithm of one operation on one shape in one arithmetic. Each time that there is
// none, a notice says why a slower kernel runs; an error is not remembered until it has occurred
// kMostErrors times.
class AlgorithmSearch {
  public:
    static constexpr int kMostErrors = 3;

    // The algorithm, if there is one; measures where that is not known. What `measure` and
    // `workspace` throw is passed on, and nothing is remembered. `operation` names the operation
    // and the shape in notices.
    const std::optional<ChosenAlgorithm>& algorithm(const std::string& operation,
                                                    Arithmetic arithmetic,
                                                    std::size_t most_workspace,
                                                    const std::function<Measurements()>& measure,
                                                    const WorkspaceQuery& workspace);

    // Whether the answer is known, and then the answer.
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
