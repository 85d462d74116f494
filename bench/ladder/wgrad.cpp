// The gradient of one shared map of 512 channels, of 4096 samples of 4x4 positions.
#include <map>

#include "bench/ladder/buffer.h"
#include "bench/ladder/ladder.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::bench {
namespace {

using namespace cnpd::kernels;

constexpr PolarizerShape kTypical{.n = 4096, .positions = 16, .channels = 512, .classes = 1};
constexpr double kRows = 4096 * 16, kChannels = 512;

double multiply_adds(const PolarizerShape& s) {
    return static_cast<double>(s.n * s.positions * s.channels) * static_cast<double>(s.channels);
}

template <typename T>
Call call(cuda::PolarizerWgrad<T>* version, const PolarizerShape& s, int parts) {
    const std::int64_t features = s.n * s.positions * s.channels;
    const auto z = device_values<T>(features), dout = device_values<T>(features);
    const auto da = device_values<float>(s.channels * s.channels),
               db = device_values<float>(s.channels);
    return {[=] { version(s, z.get(), dout.get(), {}, da.get(), db.get(), parts); },
            multiply_adds(s)};
}

struct Details {
    const char* file;
    const char* kernel;
    double down, across;  // a block's channels of dout and of z
    double parts;
    double Work::*flops = &Work::fp32;
    double dynamic_shared = 0;
    double uncounted_l1 = 0;      // bytes for each multiply-add
    std::int64_t channels = 128;  // of the small run
    double copied = 0;            // channels that a block copies; 0: all
};
// Float tiles: two buffers of two tiles of 16 lines of 132 numbers. wmma: of 32 lines of 136
// bfloat16, or 16 of 132 float32; a warp loads 6 fragments of 512 bytes for 8 products of 16x16x16,
// with TF32 16x16x8, and the copies' stores write what the loads from memory read. Version 6: four
// stages of 32 rows of 384 channels. Version 7: of 64 rows, and barriers; a product of 64x128x16
// reads 6 KB of shared memory, and copies write 384 channels of a row for 256x128 multiply-adds. A
// block of two copies 128 channels of dout for both, and its 128 of z.
const std::map<std::string, Details> kDetails = {
    {"v1", {"wgrad_v1.cu", "one_element", 1, 256, 1}},
    {"v2", {"wgrad_v2.cu", "shared_tiles", 32, 32, 1}},
    {"v3",
     {"wgrad_v3.cu", "sum_over_rows<FloatTile, 4, Plain<float>, float>", 128, 128, 1, &Work::fp32,
      4 * 16 * 132 * 4}},
    {"v4",
     {"wgrad_v3.cu", "sum_over_rows<FloatTile, 4, Plain<float>, float>", 128, 128, 16, &Work::fp32,
      4 * 16 * 132 * 4}},
    {"v5_tf32",
     {"wgrad_v5.cu", "sum_over_rows<TensorTile<Tf32, true>, 4, Plain<float>, float>", 128, 128, 16,
      &Work::tf32_tensor, 4 * 16 * 132 * 4, 6 * 512.0 / (8 * 2048) + 4.0 * 256 / (128 * 128)}},
    {"v5",
     {"wgrad_v5.cu", "sum_over_rows<TensorTile<Bf16, true>, 8, Plain<bfloat16>, bfloat16>", 128,
      128, 16, &Work::bf16_tensor, 4 * 32 * 136 * 2,
      6 * 512.0 / (8 * 4096) + 2.0 * 256 / (128 * 128)}},
    {"v6",
     {"wgrad_v6.cu", "copy_and_multiply<256, true>", 256, 128, 16, &Work::bf16_tensor,
      4 * 32 * 384 * 2, 0, 256}},
    {"v6_linear",
     {"wgrad_v6.cu", "copy_and_multiply<256, false>", 256, 128, 16, &Work::bf16_tensor,
      4 * 32 * 384 * 2, 0, 256}},
    {"v7",
     {"wgrad_v7.cu", "sum_boxes", 256, 128, 16, &Work::bf16_tensor, 193 << 10,
      6144.0 / (64 * 128 * 16) + 2.0 * 384 / (256 * 128), 256, 128 + 128}},
};

// From the L2 cache: the operands of each tile, and the parts' sums, written and read. Unknown for
// version 1, whose blocks may find each other's operands in the L1 cache.
double l2_bytes(const Details& d, std::size_t bytes_of_element) {
    if (d.down == 1) return 0;
    const double tiles = kChannels / d.down * (kChannels / d.across);
    const double copied = d.copied > 0 ? d.copied : d.down + d.across;
    const double operands = tiles * kRows * copied * static_cast<double>(bytes_of_element);
    const double sums = d.parts > 1 ? d.parts * kChannels * kChannels * 4 * 2 : 0;
    return operands + sums;
}

template <typename T>
void add(const cuda::PolarizerWgradVersion<T>& version, std::vector<Rung>& rungs) {
    const auto found = kDetails.find(version.name);
    const Details details = found == kDetails.end() ? Details{} : found->second;
    Work work{.bytes = 2 * kRows * kChannels * sizeof(T) + kChannels * kChannels * 4,
              .l2_bytes = l2_bytes(details, sizeof(T)),
              .l1_bytes = details.uncounted_l1 * multiply_adds(kTypical),
              .launches = std::string(version.name) < "v3" ? 1 : 3,
              .blocks = kChannels / details.down * (kChannels / details.across) * details.parts};
    work.*details.flops = 2 * multiply_adds(kTypical);
    const std::string number = std::string(version.name).substr(0, 2);
    rungs.push_back({.version = version.name,
                     .idea = version.idea,
                     .file = std::string("wgrad_versions/") + details.file,
                     .kernel = details.kernel,
                     .dynamic_shared = details.dynamic_shared,
                     .work = work,
                     .fragments = number == "v5",
                     // One part, whose sums over 2048 rows make its results negligible; a
                     // sixteenth of them for the slow first versions.
                     .prepare = [run = version.run, channels = details.channels,
                                 first = number < "v3"](bool typical) {
                         PolarizerShape small = kTypical;
                         small.n = first ? 8 : 128;
                         small.channels = channels;
                         return call<T>(run, typical ? kTypical : small, typical ? 0 : 1);
                     }});
}

}  // namespace

Ladder polarizer_wgrad_ladder() {
    Ladder ladder{.operation = "polarizer_wgrad",
                  .size = "4096 x 4x4x512",
                  .unit = "multiply-add",
                  .units = multiply_adds(kTypical)};
    for (const auto& version : cuda::polarizer_wgrad_versions()) add(version, ladder.rungs);
    for (const auto& version : cuda::polarizer_wgrad_versions_bf16()) add(version, ladder.rungs);
    return ladder;
}

}  // namespace cnpd::bench
