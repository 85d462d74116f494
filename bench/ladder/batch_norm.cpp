// Statistics of an activation of the first stage, batch 512.
#include "kernels/batch_norm/batch_norm.h"
#include "bench/ladder/buffer.h"
#include "bench/ladder/ladder.h"
#include "kernels/batch_norm/versions/versions.h"

namespace cnpd::bench {
namespace {

using namespace cnpd::kernels;

constexpr std::int64_t kChannels = 64, kTypicalRows = 512 * 32 * 32, kSmallRows = 2048;

// `offset`: elements in front of the activation, which then is not aligned.
template <typename T, typename Version>
Call call(bool typical, std::int64_t offset, const Version& version) {
    const std::int64_t rows = typical ? kTypicalRows : kSmallRows;
    const auto x = device_values<T>(rows * kChannels + offset);
    const auto mean = device_values<float>(kChannels), variance = device_values<float>(kChannels);
    return {[=] { version(x.get() + offset, rows, kChannels, mean.get(), variance.get()); },
            static_cast<double>(rows * kChannels)};
}

Work work(double bytes_of_element, int launches, double blocks = 0) {
    const auto elements = static_cast<double>(kTypicalRows * kChannels);
    return {.bytes = bytes_of_element * elements,
            .fp32 = 6 * elements,
            .launches = launches,
            .blocks = blocks};
}

}  // namespace

Ladder batch_norm_ladder() {
    return {
        .operation = "batch_norm",
        .size = "512 x 32x32x64, statistics",
        .unit = "element",
        .units = static_cast<double>(kTypicalRows * kChannels),
        .rungs = {
            {.version = "v1",
             .idea =
                 "a thread a channel: one block of two warps, waiting for memory most of the time",
             .file = "versions/batch_norm_v1.cu",
             .kernel = "walk",
             .work = work(4, 1, 1),
             .prepare =
                 [](bool typical) {
                     return call<float>(typical, 0, cuda::batch_norm_statistics_v1);
                 }},
            {.version = "scalar",
             .idea = "slabs of rows, merged by a warp a channel; 4 bytes an access",
             .file = "batch_norm/batch_norm.cu",
             .kernel = "slab_moments<1, float>",
             .work = work(4, 2),
             .prepare =
                 [](bool typical) {
                     return call<float>(typical, 1, cuda::batch_norm_statistics<float>);
                 }},
            {.version = "vector",
             .idea = "16 bytes an access: a thread keeps four channels",
             .file = "batch_norm/batch_norm.cu",
             .kernel = "slab_moments<4, float>",
             .work = work(4, 2),
             .prepare =
                 [](bool typical) {
                     return call<float>(typical, 0, cuda::batch_norm_statistics<float>);
                 }},
            {.version = "vector_bf16",
             .idea = "the same on bfloat16, eight channels a thread",
             .file = "batch_norm/batch_norm.cu",
             .kernel = "slab_moments<8, bfloat16>",
             .work = work(2, 2),
             .steps_of_unit = 0.5,
             .prepare =
                 [](bool typical) {
                     return call<bfloat16>(typical, 0, cuda::batch_norm_statistics<bfloat16>);
                 }},
        }};
}

}  // namespace cnpd::bench
