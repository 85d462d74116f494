// The polarizer as a grouped matrix product: rows are positions, sorted by their sample's class, so
// that all rows of a tile share one map A[y]. 2 N P C^2 FLOP over 8 N P C bytes, or 4 N P C in
// bfloat16: limited by float32 arithmetic from about 100 channels on, or 50.
#include "kernels/polarizer/polarizer.h"

#include "kernels/common/cuda.h"
#include "kernels/common/gemm_tile.h"
#include "kernels/common/grid.h"
#include "kernels/common/warp_reduce.h"
#include "kernels/polarizer/class_rows.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kTile = 64;

// Epilogue of a product.
struct Epilogue {
    const float* bias;     // [classes,C] or null
    const float* weights;  // [N] or null
    bool accumulate;
};

// out[row] = maps[y] in[row], or its transpose.
template <bool Transposed, typename T>
__global__ void __launch_bounds__(256)
    apply_maps(Groups groups, std::int64_t positions, std::int64_t channels, const T* in,
               const float* maps, Epilogue epilogue, T* out) {
    const auto [label, rows, row0] = rows_of_block(groups, positions, kTile);
    if (label < 0) return;  // the whole block
    const std::int64_t column0 = static_cast<std::int64_t>(blockIdx.y) * kTile;
    using Tile = GemmTile<kTile, kTile>;
    Tile tile;
    tile.clear();
    tile.add(RowLoader<T>{rows, in, channels}, row0,
             MatrixLoader<!Transposed>{maps + label * channels * channels, channels, channels},
             column0, 0, channels);
    // Unrolled, because variable indices would place the tile's sums in local memory.
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
        const std::int64_t row = row0 + Tile::row(i);
        if (row >= rows.rows) continue;
        const float weight = epilogue.weights ? epilogue.weights[rows.sample(row)] : 1.0f;
#pragma unroll
        for (int j = 0; j < Tile::kColumns; ++j) {
            const std::int64_t c = column0 + Tile::column(j);
            if (c >= channels) continue;
            const float bias = epilogue.bias ? epilogue.bias[label * channels + c] : 0.0f;
            T& target = out[rows.place(row) * channels + c];
            target = T(weight * (tile.sum[i][j] + bias) + (epilogue.accumulate ? target : 0.0f));
        }
    }
}

// da[y] = dout^T z over the class's rows, one block for each tile of each class's map.
template <typename T>
__global__ void __launch_bounds__(256)
    map_gradients(Groups groups, std::int64_t positions, std::int64_t channels, const T* z,
                  const T* dout, float* da) {
    const int label = static_cast<int>(blockIdx.z);
    const ClassRows rows = rows_of(groups, label, positions);
    const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
    const std::int64_t column0 = static_cast<std::int64_t>(blockIdx.y) * kTile;
    using Tile = GemmTile<kTile, kTile>;
    Tile tile;
    tile.clear();
    tile.add(ChannelLoader<T>{rows, dout, channels}, row0, ChannelLoader<T>{rows, z, channels},
             column0, 0, rows.rows);
    for (int i = 0; i < Tile::kRows; ++i)
        for (int j = 0; j < Tile::kColumns; ++j) {
            const std::int64_t row = row0 + Tile::row(i), column = column0 + Tile::column(j);
            if (row < channels && column < channels)
                da[(label * channels + row) * channels + column] = tile.sum[i][j];
        }
}

// db[y] = sum of the class's rows of dout; 32 channels by 8 rows at a time.
constexpr int kChannels = 32, kRowsAtOnce = 8;
template <typename T>
__global__ void bias_gradients(Groups groups, std::int64_t positions, std::int64_t channels,
                               const T* dout, float* db) {
    __shared__ float sums[kRowsAtOnce][kChannels];
    const int label = static_cast<int>(blockIdx.y);
    const ClassRows rows = rows_of(groups, label, positions);
    const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kChannels + threadIdx.x;
    float sum = 0;
    if (c < channels)
        for (std::int64_t row = threadIdx.y; row < rows.rows; row += kRowsAtOnce)
            sum += dout[rows.place(row) * channels + c];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || c >= channels) return;
    for (int i = 1; i < kRowsAtOnce; ++i) sum += sums[i][threadIdx.x];
    db[label * channels + c] = sum;
}

// Folds batch norm into the convolution: a warp for each row of W.
__global__ void fold(std::int64_t rows, std::int64_t channels, PolarizerParameters p, float* a,
                     float* b) {
    const std::int64_t row = first_element() / 32;
    if (row >= rows) return;
    const float scale = p.gamma[row] / sqrtf(p.variance[row] + p.eps);
    for (std::int64_t j = threadIdx.x % 32; j < channels; j += 32)
        a[row * channels + j] = scale * p.weight[row * channels + j];
    if (threadIdx.x % 32 == 0) b[row] = p.beta[row] - p.mean[row] * scale;
}

__global__ void fold_backward(std::int64_t rows, std::int64_t channels, PolarizerParameters p,
                              const float* da, const float* db, float* dweight, float* dgamma,
                              float* dbeta) {
    const std::int64_t row = first_element() / 32;
    if (row >= rows) return;  // whole warps
    const float inverse_std = 1 / sqrtf(p.variance[row] + p.eps);
    const float scale = p.gamma[row] * inverse_std;
    float dscale = 0;
    for (std::int64_t i = row * channels + threadIdx.x % 32; i < (row + 1) * channels; i += 32) {
        dscale += da[i] * p.weight[i];
        dweight[i] = scale * da[i];
    }
    dscale = warp_sum(dscale) - p.mean[row] * db[row];
    if (threadIdx.x % 32 == 0) {
        dgamma[row] = dscale * inverse_std;
        dbeta[row] = db[row];
    }
}

// One warp for each row of all maps.
template <typename... Parameters, typename... Arguments>
void launch_rows(const char* name, std::int64_t rows, void (*kernel)(Parameters...),
                 Arguments... arguments) {
    constexpr int kWarps = 4;
    if (rows == 0) return;
    launch({.name = name, .grid = ceil_div(rows, kWarps), .block = 32 * kWarps}, kernel,
           arguments...);
}

template <bool Transposed, typename T>
void apply(const char* name, const PolarizerShape& s, const T* in, const std::int32_t* labels,
           const float* maps, const Epilogue& epilogue, T* out) {
    if (s.n * s.positions * s.channels == 0) return;
    const Grouping grouping(s, labels, kTile);
    launch({.name = name, .grid = {grouping.tiles(), ceil_div(s.channels, kTile)}, .block = 256},
           apply_maps<Transposed, T>, grouping.groups(), s.positions, s.channels, in, maps,
           epilogue, out);
}

}  // namespace

void polarizer_fold(std::int64_t classes, std::int64_t channels,
                    const PolarizerParameters& parameters, float* a, float* b) {
    launch_rows("polarizer_fold", classes * channels, fold, classes * channels, channels,
                parameters, a, b);
}

void polarizer_fold_backward(std::int64_t classes, std::int64_t channels,
                             const PolarizerParameters& parameters, const float* da,
                             const float* db, float* dweight, float* dgamma, float* dbeta) {
    launch_rows("polarizer_fold_backward", classes * channels, fold_backward, classes * channels,
                channels, parameters, da, db, dweight, dgamma, dbeta);
}

template <typename T>
void polarizer_forward(const PolarizerShape& shape, const T* z, const std::int32_t* labels,
                       const float* weights, bool accumulate, const float* a, const float* b,
                       T* out) {
    apply<false>("polarizer_forward", shape, z, labels, a, {b, weights, accumulate}, out);
}
CNPD_INSTANTIATE(polarizer_forward);

template <typename T>
void polarizer_dgrad(const PolarizerShape& shape, const T* dout, const std::int32_t* labels,
                     const float* a, T* dz) {
    apply<true>("polarizer_dgrad", shape, dout, labels, a, {nullptr, nullptr, false}, dz);
}
CNPD_INSTANTIATE(polarizer_dgrad);

template <typename T>
void polarizer_wgrad(const PolarizerShape& shape, const T* z, const T* dout,
                     const std::int32_t* labels, float* da, float* db) {
    if (shape.channels == 0) return;
    const Grouping grouping(shape, labels, kTile);
    const unsigned tiles = ceil_div(shape.channels, kTile);
    const auto classes = static_cast<unsigned>(shape.classes);
    launch({.name = "polarizer_wgrad", .grid = {tiles, tiles, classes}, .block = 256},
           map_gradients<T>, grouping.groups(), shape.positions, shape.channels, z, dout, da);
    launch({.name = "polarizer_wgrad",
            .grid = {ceil_div(shape.channels, kChannels), classes},
            .block = {kChannels, kRowsAtOnce}},
           bias_gradients<T>, grouping.groups(), shape.positions, shape.channels, dout, db);
}
CNPD_INSTANTIATE(polarizer_wgrad);

}  // namespace cnpd::kernels::cuda
