// The forward pass of a 3x3 convolution of the first stage, batch 512.
#include "kernels/convolution/convolution.h"
#include "bench/ladder/buffer.h"
#include "bench/ladder/ladder.h"
#include "kernels/convolution/versions/versions.h"

namespace cnpd::bench {
namespace {

using namespace cnpd::kernels;

ConvolutionShape shape(bool typical) {
    return {.n = typical ? 512 : 1,
            .h = typical ? 32 : 8,
            .w = typical ? 32 : 8,
            .c = 64,
            .k = 64,
            .r = 3,
            .s = 3,
            .pad = 1};
}
double multiply_adds(const ConvolutionShape& s) {
    return static_cast<double>(s.n * s.out_h() * s.out_w() * s.k * s.r * s.s * s.c);
}

template <typename T, typename Version>
Call call(const ConvolutionShape& s, const Version& version) {
    const auto x = device_values<T>(s.n * s.h * s.w * s.c);
    const auto filter = device_values<T>(s.k * s.r * s.s * s.c);
    const auto y = device_values<T>(s.n * s.out_h() * s.out_w() * s.k);
    return {[=] { version(s, x.get(), filter.get(), y.get()); }, multiply_adds(s)};
}

template <typename T>
void implicit(const ConvolutionShape& s, const T* x, const T* filter, T* y) {
    cuda::convolution_forward<T>(s, x, filter, {}, y);
}

Work work(std::size_t bytes_of_element) {
    const ConvolutionShape s = shape(true);
    const auto elements = static_cast<double>(2 * s.n * s.h * s.w * s.c + s.k * 9 * s.c);
    return {.bytes = elements * static_cast<double>(bytes_of_element),
            .fp32 = 2 * multiply_adds(s)};
}

}  // namespace

Ladder convolution_ladder() {
    return {
        .operation = "convolution",
        .size = "512 x 32x32x64, 3x3, 64",
        .unit = "multiply-add",
        .units = multiply_adds(shape(true)),
        .rungs = {
            {.version = "v1",
             .idea = "a thread an output, both operands from memory",
             .file = "versions/convolution_v1.cu",
             .kernel = "one_output",
             .work = work(4),
             .prepare =
                 [](bool typical) {
                     return call<float>(shape(typical), cuda::convolution_forward_v1);
                 }},
            {.version = "plain",
             .idea =
                 "implicit matrix product in 64x64 tiles in shared memory, 4x4 outputs a thread",
             .file = "convolution/convolution.cu",
             .kernel = "multiply<64, WindowLoader<float>, MatrixLoader<true, float>, float>",
             .work = work(4),
             .prepare = [](bool typical) { return call<float>(shape(typical), implicit<float>); }},
            {.version = "plain_bf16",
             .idea = "the same on bfloat16, half the bytes",
             .file = "convolution/convolution.cu",
             .kernel =
                 "multiply<64, WindowLoader<bfloat16>, MatrixLoader<true, bfloat16>, bfloat16>",
             .work = work(2),
             .prepare =
                 [](bool typical) { return call<bfloat16>(shape(typical), implicit<bfloat16>); }},
        }};
}

}  // namespace cnpd::bench
