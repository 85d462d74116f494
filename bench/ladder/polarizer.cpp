// Inference with 512 channels of 4x4 positions, batch 4096, one map for all samples.
#include <map>

#include "bench/ladder/buffer.h"
#include "bench/ladder/ladder.h"
#include "kernels/polarizer/versions/hopper_tiles.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::bench {
namespace {

using namespace cnpd::kernels;

constexpr PolarizerShape kTypical{.n = 4096, .positions = 16, .channels = 512, .classes = 1};

double multiply_adds(const PolarizerShape& s) {
    return static_cast<double>(s.n * s.positions * s.channels) * static_cast<double>(s.channels);
}

template <typename T>
Call call(cuda::PolarizerProduct<T>* version, const PolarizerShape& s) {
    const std::int64_t features = s.n * s.positions * s.channels;
    const auto z = device_values<T>(features), out = device_values<T>(features);
    const auto maps = device_values<T>(s.channels * s.channels);
    const auto bias = device_values<float>(s.channels);
    return {[=] { version(s, z.get(), {}, {.a = maps.get(), .b = bias.get()}, out.get()); },
            multiply_adds(s)};
}

struct Details {
    const char* kernel = "";
    double Work::*flops = &Work::fp32;
    double dynamic_shared = 0;
    // Bytes for each multiply-add: of shared memory beyond the emulator's counts, and of operands
    // from the L2 cache.
    double further_l1 = 0, l2 = 0;
};

// Both operands of tiles of 128x128.
constexpr double of_tile(std::size_t bytes_of_element) {
    return 2.0 * static_cast<double>(bytes_of_element) / 128;
}
// Of 4 + 2 fragments for 8 products of 16x16 and `depth` k; of a sum, stored and read once.
constexpr double of_fragments(double depth) {
    return 6 * 512 / (8 * 256 * depth);
}
constexpr double kOfSums = 8.0 / 512;
constexpr double kOfWgmma = 6.0 * 1024 / (64 * 128 * 16);  // 64 and 128 lines of 16 k
constexpr double kPersistent = hopper_tiles::shared_bytes(512 / hopper_tiles::kDepth);
constexpr double kBoxed = 1024 + 3 * (2 * 128 * 128 + 8);

// Version 3: two buffers of two tiles of 16 lines of 132 numbers. Versions 4 and 5: two or four
// buffers of two tiles of 128 lines of 80 bytes. The copies of versions 5 and 6 are counted as
// sectors; they do not pass the L1 cache, so that these stand for what they write to shared memory,
// which version 6 counts again. From version 7 on neither the copies nor wgmma's operands are
// counted. Versions 9 and 10 read features for each of the 4 pieces of the map, or each 2.
const std::map<std::string, Details> kDetails = {
    {"v1", {"one_output"}},
    {"v2", {"shared_tiles<1>"}},
    {"v2_unpadded", {"shared_tiles<0>"}},
    {"v3",
     {"apply_maps<FloatTile, 4, Plain<float>, float>", &Work::fp32, 4 * 16 * 132 * 4, 0,
      of_tile(4)}},
    {"v3_bf16",
     {"apply_maps<FloatTile, 8, Plain<bfloat16>, bfloat16>", &Work::fp32, 4 * 16 * 132 * 4, 0,
      of_tile(2)}},
    {"v4_tf32",
     {"apply_maps<TensorTile<Tf32, false>, 4, Plain<float>, float>", &Work::tf32_tensor,
      4 * 128 * 80, of_fragments(8) + of_tile(4) + kOfSums, of_tile(4)}},
    {"v4",
     {"apply_maps<TensorTile<Bf16, false>, 8, Plain<bfloat16>, bfloat16>", &Work::bf16_tensor,
      4 * 128 * 80, of_fragments(16) + of_tile(2) + kOfSums, of_tile(2)}},
    {"v5",
     {"apply_maps_staged<WmmaTile, 4>", &Work::bf16_tensor, 8 * 128 * 80,
      of_fragments(16) + kOfSums, of_tile(2)}},
    {"v6",
     {"apply_maps_staged<SwizzledTile, 3>", &Work::bf16_tensor, 3 * 2 * 128 * 128, -of_tile(2),
      of_tile(2)}},
    {"v7", {"apply_maps_boxed<WarpTile, 3>", &Work::bf16_tensor, kBoxed, of_tile(2), of_tile(2)}},
    {"v8",
     {"apply_maps_boxed<WarpgroupTile, 3>", &Work::bf16_tensor, kBoxed, kOfWgmma + of_tile(2),
      of_tile(2)}},
    {"v9",
     {"persistent<Alone>", &Work::bf16_tensor, kPersistent, kOfWgmma + of_tile(2) / 2,
      of_tile(2) / 2}},
    {"v10",
     {"persistent<Pair>", &Work::bf16_tensor, kPersistent, kOfWgmma + of_tile(2) / 2,
      of_tile(2) / 4}},
};

template <typename T>
void add(const cuda::PolarizerVersion<T>& version, std::vector<Rung>& rungs) {
    const auto found = kDetails.find(version.name);
    const Details details = found == kDetails.end() ? Details{} : found->second;
    const std::string number =
        std::string(version.name).substr(0, std::string_view(version.name).find('_'));
    const double features = static_cast<double>(kTypical.n * kTypical.positions) * 512;
    Work work{.bytes = (2 * features + 512 * 512) * sizeof(T),
              .l1_bytes = details.further_l1 * multiply_adds(kTypical)};
    // Results are written through the L2 cache.
    if (details.l2 > 0) work.l2_bytes = details.l2 * multiply_adds(kTypical) + features * sizeof(T);
    work.*details.flops = 2 * multiply_adds(kTypical);
    rungs.push_back({.version = version.name,
                     .idea = version.idea,
                     .file = "versions/polarizer_" + number + ".cu",
                     .kernel = details.kernel,
                     .dynamic_shared = details.dynamic_shared,
                     .work = work,
                     .fragments = number == "v4" || number == "v5",
                     // A tile of 128 rows; with 128 channels, and a quarter of it for the first
                     // version, where the emulator is slow.
                     .prepare = [run = version.run, first = number == "v1",
                                 tensor = details.flops != &Work::fp32](bool typical) {
                         PolarizerShape small = kTypical;
                         small.n = first ? 2 : 8;
                         if (!tensor) small.channels = 128;
                         return call<T>(run, typical ? kTypical : small);
                     }});
}

}  // namespace

Ladder polarizer_ladder() {
    Ladder ladder{.operation = "polarizer",
                  .size = "4096 x 4x4x512",
                  .unit = "multiply-add",
                  .units = multiply_adds(kTypical)};
    for (const auto& version : cuda::polarizer_versions()) add(version, ladder.rungs);
    for (const auto& version : cuda::polarizer_versions_bf16()) add(version, ladder.rungs);
    return ladder;
}

}  // namespace cnpd::bench
