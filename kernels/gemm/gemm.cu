// c = op(a) op(b) + beta c by tiles in shared memory and registers. Limited by float32 arithmetic;
// on real GPUs cuBLASLt is used instead (kernels/vendor).
#include "kernels/gemm/gemm.h"

#include "kernels/common/cuda.h"
#include "kernels/common/gemm_tile.h"
#include "kernels/vendor/cublas.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kTile = 64;

template <bool TransposeA, bool TransposeB>
__global__ void __launch_bounds__(256)
    multiply(GemmShape shape, const float* a, const float* b, float* c) {
    using Tile = GemmTile<kTile, kTile>;
    Tile tile;
    tile.clear();
    const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
    const std::int64_t column0 = static_cast<std::int64_t>(blockIdx.y) * kTile;
    tile.add(MatrixLoader<!TransposeA>{a, shape.m, shape.k}, row0,
             MatrixLoader<TransposeB>{b, shape.n, shape.k}, column0, 0, shape.k);
    for (int i = 0; i < Tile::kRows; ++i)
        for (int j = 0; j < Tile::kColumns; ++j) {
            const std::int64_t row = row0 + Tile::row(i), column = column0 + Tile::column(j);
            if (row >= shape.m || column >= shape.n) continue;
            float& out = c[row * shape.n + column];
            out = tile.sum[i][j] + (shape.beta == 0 ? 0 : shape.beta * out);
        }
}

}  // namespace

void gemm(const GemmShape& shape, const float* a, const float* b, float* c) {
    if (shape.m == 0 || shape.n == 0) return;
#ifdef CNPD_REAL_CUDA
    if (shape.k > 0) return cublas::gemm(shape, a, b, c);
#endif
    const auto run = [&](auto kernel) {
        launch({.name = "gemm",
                .grid = {ceil_div(shape.m, kTile), ceil_div(shape.n, kTile)},
                .block = 256},
               kernel, shape, a, b, c);
    };
    if (shape.transpose_a)
        shape.transpose_b ? run(multiply<true, true>) : run(multiply<true, false>);
    else
        shape.transpose_b ? run(multiply<false, true>) : run(multiply<false, false>);
}

}  // namespace cnpd::kernels::cuda
