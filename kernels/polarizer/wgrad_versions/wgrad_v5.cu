// Version 5: tensor cores. bfloat16 operands, or float32 rounded to TF32, and float32 sums
// (tensor_tile.h), with the parts of version 4. Operands are stored with k outermost, as they come
// from memory; the fragments' layouts (column-major a, row-major b) transpose them on the way to
// registers.
//
// Arithmetic is 13 times cheaper than in float32. What limits now is moving the operands. A tile of
// 128 x 128 gets 512 bytes from the L2 cache for 16,384 multiply-adds, 0.54 GB at C = 512 and
// 65,536 rows. Each passes through registers to shared memory, and from there a warp loads 6 x 512
// bytes of fragments for 8 products. Prediction at that size: 0.1 ms from the L2 cache, nearly the
// same from shared memory, 5 to 6 times version 4.
#include "kernels/polarizer/sums_over_rows.h"
#include "kernels/polarizer/tensor_tile.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

template <typename Factor, typename T>
void run(const char* name, const PolarizerShape& shape, const T* z, const T* dout,
         const PolarizerSamples& samples, float* da, float* db, int parts) {
    using Tile = TensorTile<Factor, true>;
    const bool aligned = rows_are_aligned<T>(shape.channels, {z, dout}) &&
                         rows_are_aligned<float>(shape.channels, {da});
    const auto start = aligned ? launch_sums_over_rows<Tile, kWidest<T>, Plain<T>, T>
                               : launch_sums_over_rows<Tile, 1, Plain<T>, T>;
    start(name, shape, samples, Plain<T>{dout}, z, da, db, parts);
}

}  // namespace

void polarizer_wgrad_v5(const PolarizerShape& shape, const bfloat16* z, const bfloat16* dout,
                        const PolarizerSamples& samples, float* da, float* db, int parts) {
    run<Bf16>("polarizer_wgrad_v5", shape, z, dout, samples, da, db, parts);
}

void polarizer_wgrad_v5_tf32(const PolarizerShape& shape, const float* z, const float* dout,
                             const PolarizerSamples& samples, float* da, float* db, int parts) {
    run<Tf32>("polarizer_wgrad_v5_tf32", shape, z, dout, samples, da, db, parts);
}

}  // namespace cnpd::kernels::cuda
