// The gradient of the maps: 2 N P C^2 FLOP over 4 N P C bytes (bfloat16; float32 twice as much) and
// 4 classes C^2, on tensor cores or in float32 (tile_choice.h).
#include "kernels/polarizer/sums_over_rows.h"
#include "kernels/polarizer/tile_choice.h"

namespace cnpd::kernels::cuda {

template <typename T>
void polarizer_wgrad(const PolarizerShape& shape, const T* z, const T* dout,
                     const PolarizerSamples& samples, float* da, float* db) {
    const bool aligned = rows_are_aligned<T>(shape.channels, {z, dout}) &&
                         rows_are_aligned<float>(shape.channels, {da});
    with_tile<T, true>({"polarizer_wgrad_fp32", "polarizer_wgrad_tf32", "polarizer_wgrad_bf16"},
                       [&]<typename Tile>(const char* name) {
                           const auto run =
                               aligned ? launch_sums_over_rows<Tile, kWidest<T>, Plain<T>, T>
                                       : launch_sums_over_rows<Tile, 1, Plain<T>, T>;
                           run(name, shape, samples, Plain<T>{dout}, z, da, db);
                       });
}
CNPD_INSTANTIATE(polarizer_wgrad);

}  // namespace cnpd::kernels::cuda
