// Version 4: tensor cores. bfloat16 features and maps, float32 sums (tensor_tile.h); a block
// computes 128 rows by 128 channels with 8 warps. The copy from memory is version 3's, without the
// transposition, 32 k at a time. The epilogue (bias, rounding) is applied to the sums before they
// leave the multiprocessor; 16-byte stores.
//
// Arithmetic is 15 times cheaper than version 3's, so 2 C^2 FLOP per row and 4 C bytes are now
// about balanced at C = 512 (256 FLOP per byte): memory becomes a limit. This version does not
// reach it because of the operands. Tiles read them from the L2 cache, 64 FLOP per byte, and they
// pass through shared memory's port again and again: to registers, to shared memory, as fragments
// (6 x 512 bytes for 8 products, 24 clocks, while the tensor cores of a Hopper multiprocessor need
// 16), and the sums as well. At 65,536 rows (batch 4096 of 4x4): 0.54 GB of operands and 0.07 of
// results are 110 us of an H100's L2 cache (5.5 TB/s), 3 GB are 106 us of shared memory. Both would
// have to overlap perfectly. Prediction: 60 to 80 % of 110 us, 190 to 250 TFLOP/s on an H100 or
// H200, 5 times version 3.
//
// With float32 features, factors are rounded to TF32: half the rate and twice the bytes.
#include "kernels/polarizer/block_product.h"
#include "kernels/polarizer/tensor_tile.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

template <typename Factor, typename T>
void run(const char* name, const PolarizerShape& shape, const T* z, const PolarizerSamples& samples,
         const PolarizerMaps<T>& maps, T* out) {
    const auto start = rows_are_aligned<T>(shape.channels, {z, maps.a, out}) &&
                               rows_are_aligned<float>(shape.channels, {maps.b})
                           ? launch_maps<TensorTile<Factor>, kWidest<T>, Plain<T>, T>
                           : launch_maps<TensorTile<Factor>, 1, Plain<T>, T>;
    start(name, shape, samples, Plain<T>{z}, maps.a, maps.b, out);
}

}  // namespace

void polarizer_v4(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                  const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    run<Bf16>("polarizer_v4", shape, z, samples, maps, out);
}

void polarizer_v4_tf32(const PolarizerShape& shape, const float* z, const PolarizerSamples& samples,
                       const PolarizerMaps<float>& maps, float* out) {
    run<Tf32>("polarizer_v4_tf32", shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
