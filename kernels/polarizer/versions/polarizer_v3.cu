// Version 3: tiles in registers, 16 bytes per access. A block computes 128 rows by 128 channels, a
// thread 8 by 8 of them (float_tile.h). While a piece of 16 k is multiplied, the next is loaded
// from memory into registers, and is then stored to the other of two buffers: one barrier per piece
// (block_product.h).
//
// Arithmetic units can be busy all the time: for each k, 64 multiply-adds of a warp take as long as
// its four reads of shared memory. Memory: 128 x 128 outputs from 2 x 128 C elements, C/64 elements
// per output. Prediction: limited by float32 arithmetic, 70 to 80 % of its peak; 6 times version 2.
//
// In bfloat16 the loads are 8 elements of 16 bytes, widened before the store to shared memory: half
// the traffic, the same arithmetic, and therefore hardly faster.
#include "kernels/polarizer/block_product.h"
#include "kernels/polarizer/float_tile.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

template <typename T>
void run(const char* name, const PolarizerShape& shape, const T* z, const PolarizerSamples& samples,
         const PolarizerMaps<T>& maps, T* out) {
    constexpr int kWidth = kWidest<T>;
    const auto start = rows_are_aligned<T>(shape.channels, {z, maps.a, out}) &&
                               rows_are_aligned<float>(shape.channels, {maps.b})
                           ? launch_maps<FloatTile, kWidth, Plain<T>, T>
                           : launch_maps<FloatTile, 1, Plain<T>, T>;
    start(name, shape, samples, Plain<T>{z}, maps.a, maps.b, out);
}

}  // namespace

void polarizer_v3(const PolarizerShape& shape, const float* z, const PolarizerSamples& samples,
                  const PolarizerMaps<float>& maps, float* out) {
    run("polarizer_v3", shape, z, samples, maps, out);
}

void polarizer_v3_bf16(const PolarizerShape& shape, const bfloat16* z,
                       const PolarizerSamples& samples, const PolarizerMaps<bfloat16>& maps,
                       bfloat16* out) {
    run("polarizer_v3_bf16", shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
