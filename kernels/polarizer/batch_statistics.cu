// The polarizer with batch statistics. Forward: a grouped matrix product whose tiles also store the
// mean and the squared deviations of their rows, computed in registers. The tiles of a class are
// merged in order, and a pass of 8 bytes per element normalises. Backward: a pass of 8 bytes for
// the sums, one of 12 for du. Half as much in bfloat16.
#include "kernels/polarizer/batch_statistics.h"

#include "kernels/common/gemm_tile.h"
#include "kernels/common/moments.h"
#include "kernels/common/vector_grid.h"
#include "kernels/polarizer/class_rows.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kTile = 64;
using Tile = GemmTile<kTile, kTile>;

// A thread holds rows and columns of the tile that are 16 apart. Adds up of_row(i, j) for its rows
// over the threads that share its columns; thread c < 64 gets the sum of column c. A barrier is
// needed between two calls.
template <typename OfRow>
__device__ float sum_of_column(const OfRow& of_row) {
    // Wider than a tile, so that the two rows of threads in a warp use different banks.
    __shared__ float part[Tile::kSide][kTile + Tile::kSide];
    for (int j = 0; j < Tile::kColumns; ++j) {
        float sum = 0;
        for (int i = 0; i < Tile::kRows; ++i) sum += of_row(i, j);
        part[threadIdx.x / Tile::kSide][Tile::column(j)] = sum;
    }
    __syncthreads();
    float total = 0;
    if (threadIdx.x < kTile)
        for (int i = 0; i < Tile::kSide; ++i) total += part[i][threadIdx.x];
    return total;
}

// A tile's moments of a channel: x is the mean, y the squared deviations from it. A float2 is one
// memory access.
using TileMoments = float2;

// u = W[y] z, and moments [tiles,C].
template <typename T>
__global__ void __launch_bounds__(Tile::kThreads)
    convolve(Groups groups, std::int64_t positions, std::int64_t channels, const T* z,
             const float* weight, T* u, TileMoments* moments) {
    __shared__ float mean_of[kTile];
    const auto [label, rows, row0] = rows_of_block(groups, positions, kTile);
    if (label < 0) return;  // the whole block
    const std::int64_t column0 = static_cast<std::int64_t>(blockIdx.y) * kTile;
    Tile tile;
    tile.clear();
    tile.add(RowLoader<T>{rows, z, channels}, row0,
             MatrixLoader<true>{weight + label * channels * channels, channels, channels}, column0,
             0, channels);
    for (int i = 0; i < Tile::kRows; ++i) {
        const std::int64_t row = row0 + Tile::row(i);
        if (row >= rows.rows) continue;
        for (int j = 0; j < Tile::kColumns; ++j) {
            const std::int64_t c = column0 + Tile::column(j);
            if (c < channels) u[rows.place(row) * channels + c] = T(tile.sum[i][j]);
        }
    }

    const int thread = static_cast<int>(threadIdx.x);
    const std::int64_t left = rows.rows - row0;
    const auto count = static_cast<float>(left < kTile ? left : kTile);
    // Rows after the last are 0 and add nothing.
    const float mean = sum_of_column([&](int i, int j) { return tile.sum[i][j]; }) / count;
    if (thread < kTile) mean_of[thread] = mean;
    __syncthreads();
    const float squares = sum_of_column([&](int i, int j) {
        const float difference = tile.sum[i][j] - mean_of[Tile::column(j)];
        return row0 + Tile::row(i) < rows.rows ? difference * difference : 0.0f;
    });
    if (thread < kTile && column0 + thread < channels)
        moments[blockIdx.x * channels + column0 + thread] = make_float2(mean, squares);
}

// The tiles of a class, and its rows.
struct ClassTiles {
    std::int64_t first, count, rows;
};
__device__ ClassTiles tiles_of(const Groups& groups, int label, std::int64_t positions) {
    const std::int64_t rows = rows_of(groups, label, positions).rows;
    return {groups.first_tile[label], (rows + kTile - 1) / kTile, rows};
}

// Blocks of 32 channels by 8 lanes, which share a class's tiles.
constexpr int kChannels = 32, kLanes = 8;

// The sum over the lanes of a channel, returned in lane 0.
__device__ float2 sum_of_lanes(float2 mine) {
    __shared__ float of_x[kLanes][kChannels], of_y[kLanes][kChannels];
    of_x[threadIdx.y][threadIdx.x] = mine.x;
    of_y[threadIdx.y][threadIdx.x] = mine.y;
    __syncthreads();
    if (threadIdx.y == 0)
        for (int i = 1; i < kLanes; ++i) {
            mine.x += of_x[i][threadIdx.x];
            mine.y += of_y[i][threadIdx.x];
        }
    return mine;
}

__global__ void finish_statistics(Groups groups, std::int64_t positions, std::int64_t channels,
                                  const TileMoments* moments, PolarizerBatchNorm norm, float* mean,
                                  float* inv_std) {
    __shared__ float counts[kLanes][kChannels], means[kLanes][kChannels],
        squares[kLanes][kChannels];
    const int label = static_cast<int>(blockIdx.y);
    const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kChannels + threadIdx.x;
    const ClassTiles tiles = tiles_of(groups, label, positions);
    Moments mine{0, 0, 0};
    if (c < channels)
        for (std::int64_t tile = threadIdx.y; tile < tiles.count; tile += kLanes) {
            const std::int64_t left = tiles.rows - tile * kTile;
            const TileMoments of_tile = moments[(tiles.first + tile) * channels + c];
            mine = merge(mine,
                         {static_cast<float>(left < kTile ? left : kTile), of_tile.x, of_tile.y});
        }
    counts[threadIdx.y][threadIdx.x] = mine.count;
    means[threadIdx.y][threadIdx.x] = mine.mean;
    squares[threadIdx.y][threadIdx.x] = mine.squares;
    __syncthreads();
    if (threadIdx.y != 0 || c >= channels) return;
    for (int i = 1; i < kLanes; ++i)
        mine =
            merge(mine, {counts[i][threadIdx.x], means[i][threadIdx.x], squares[i][threadIdx.x]});

    const std::int64_t at = label * channels + c;
    mean[at] = mine.mean;
    inv_std[at] = mine.count > 0 ? 1 / sqrtf(mine.squares / mine.count + norm.eps) : 1;
    if (mine.count == 0 || !norm.running_mean) return;
    const float share = norm.momentum;
    norm.running_mean[at] = (1 - share) * norm.running_mean[at] + share * mine.mean;
    norm.running_variance[at] =
        (1 - share) * norm.running_variance[at] + share * mine.squares / fmaxf(mine.count - 1, 1);
}

// Offset of the [C] vectors of an element's class, and its channel.
struct Places {
    const std::int32_t* labels;  // or null
    std::int64_t sample_size, channels;

    __device__ std::int64_t vector_at(std::int64_t i) const {
        return (labels ? labels[i / sample_size] : 0) * channels + i % channels;
    }
};

template <typename T>
struct Normalise {
    Places places;
    const T* u;
    const float *mean, *inv_std, *gamma, *beta;
    T* out;

    template <int Width>
    __device__ void at(std::int64_t i) const {
        const std::int64_t c = places.vector_at(i);
        auto values = load<Width>(u + i);
        for (int k = 0; k < Width; ++k)
            values.of[k] =
                T((values.of[k] - mean[c + k]) * (gamma[c + k] * inv_std[c + k]) + beta[c + k]);
        store(out + i, values);
    }
};

// sums [tiles,C]: of dout and of dout (u - mean) over the rows of a tile.
template <typename T>
__global__ void tile_sums(Groups groups, std::int64_t positions, std::int64_t channels,
                          const T* dout, const T* u, const float* mean, float2* sums) {
    const auto [label, rows, row0] = rows_of_block(groups, positions, kTile);
    if (label < 0) return;  // the whole block
    const std::int64_t end = row0 + kTile < rows.rows ? row0 + kTile : rows.rows;
    const std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * kChannels + threadIdx.x;
    float2 sum = make_float2(0, 0);
    if (c < channels) {
        const float center = mean[label * channels + c];
        for (std::int64_t row = row0 + threadIdx.y; row < end; row += kLanes) {
            const std::int64_t i = rows.place(row) * channels + c;
            const float g = dout[i];
            sum.x += g;
            sum.y += g * (u[i] - center);
        }
    }
    const float2 total = sum_of_lanes(sum);
    if (threadIdx.y != 0 || c >= channels) return;
    sums[blockIdx.x * channels + c] = total;
}

// du = scale (dout - share - slope (u - mean)), [classes,C] each.
struct InputGradient {
    float *scale, *share, *slope;
};

template <typename T>
__global__ void finish_sums(Groups groups, std::int64_t positions, std::int64_t channels,
                            const float2* sums, PolarizerBatch<T> batch, InputGradient du,
                            float* dgamma, float* dbeta) {
    const int label = static_cast<int>(blockIdx.y);
    const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kChannels + threadIdx.x;
    const ClassTiles tiles = tiles_of(groups, label, positions);
    float2 sum = make_float2(0, 0);
    if (c < channels)
        for (std::int64_t tile = threadIdx.y; tile < tiles.count; tile += kLanes) {
            const float2 of_tile = sums[(tiles.first + tile) * channels + c];
            sum.x += of_tile.x;
            sum.y += of_tile.y;
        }
    const float2 total = sum_of_lanes(sum);
    if (threadIdx.y != 0 || c >= channels) return;
    const std::int64_t at = label * channels + c;
    const float inverse = batch.inv_std[at];
    const float count = fmaxf(static_cast<float>(tiles.rows), 1);
    dbeta[at] = total.x;
    dgamma[at] = total.y * inverse;
    du.scale[at] = batch.gamma[at] * inverse;
    du.share[at] = total.x / count;
    du.slope[at] = total.y * inverse * inverse / count;
}

template <typename T>
struct ApplyInputGradient {
    Places places;
    const T *dout, *u;
    const float* mean;
    InputGradient of;
    T* du;

    template <int Width>
    __device__ void at(std::int64_t i) const {
        const std::int64_t c = places.vector_at(i);
        auto gradients = load<Width>(dout + i);
        const auto values = load<Width>(u + i);
        for (int k = 0; k < Width; ++k)
            gradients.of[k] = T(of.scale[c + k] * (gradients.of[k] - of.share[c + k] -
                                                   of.slope[c + k] * (values.of[k] - mean[c + k])));
        store(du + i, gradients);
    }
};

// Like launch_packs, but a pack must not extend beyond the end of a row.
template <typename Body, typename... Ts>
void launch_rows(const char* name, const PolarizerShape& s, const Body& body,
                 const Ts*... buffers) {
    const std::int64_t count = s.n * s.positions * s.channels;
    const int width = widest_access_of_rows(s.channels, buffers...);
    launch(elements_shape(name, (count + width - 1) / width),
           width > 1 ? for_each_pack<kWidest<Ts...>, Body> : for_each_pack<1, Body>, body, count);
}

LaunchShape channels_shape(const char* name, const PolarizerShape& s) {
    return {.name = name,
            .grid = {ceil_div(s.channels, kChannels), static_cast<unsigned>(s.classes)},
            .block = {kChannels, kLanes}};
}

std::size_t bytes_of(std::int64_t count, std::size_t element) {
    return static_cast<std::size_t>(count) * element;
}

}  // namespace

template <typename T>
void polarizer_batch_forward(const PolarizerShape& shape, const T* z, const std::int32_t* labels,
                             const PolarizerBatchNorm& norm, T* u, float* mean, float* inv_std,
                             T* out) {
    if (shape.channels == 0) return;
    const char* const name = "polarizer_batch_forward";
    const Grouping grouping(shape, labels, kTile);
    const DeviceWorkspace moments(bytes_of(grouping.tiles() * shape.channels, sizeof(TileMoments)));
    if (grouping.tiles() > 0)
        launch({.name = name,
                .grid = {grouping.tiles(), ceil_div(shape.channels, kTile)},
                .block = Tile::kThreads},
               convolve<T>, grouping.groups(), shape.positions, shape.channels, z, norm.weight, u,
               moments.as<TileMoments>());
    launch(channels_shape(name, shape), finish_statistics, grouping.groups(), shape.positions,
           shape.channels, moments.as<TileMoments>(), norm, mean, inv_std);
    if (grouping.tiles() == 0) return;
    launch_rows(name, shape,
                Normalise<T>{.places = {labels, shape.positions * shape.channels, shape.channels},
                             .u = u,
                             .mean = mean,
                             .inv_std = inv_std,
                             .gamma = norm.gamma,
                             .beta = norm.beta,
                             .out = out},
                u, out);
}
CNPD_INSTANTIATE(polarizer_batch_forward);

template <typename T>
void polarizer_batch_backward(const PolarizerShape& shape, const T* dout,
                              const std::int32_t* labels, const PolarizerBatch<T>& batch, T* du,
                              float* dgamma, float* dbeta) {
    if (shape.channels == 0) return;
    const char* const name = "polarizer_batch_backward";
    const Grouping grouping(shape, labels, kTile);
    const DeviceWorkspace sums(bytes_of(grouping.tiles() * shape.channels, sizeof(float2)));
    const std::int64_t vectors = shape.classes * shape.channels;
    const DeviceWorkspace scale(bytes_of(vectors, sizeof(float))),
        share(bytes_of(vectors, sizeof(float))), slope(bytes_of(vectors, sizeof(float)));
    const InputGradient of{scale.floats(), share.floats(), slope.floats()};
    if (grouping.tiles() > 0)
        launch({.name = name,
                .grid = {grouping.tiles(), ceil_div(shape.channels, kChannels)},
                .block = {kChannels, kLanes}},
               tile_sums<T>, grouping.groups(), shape.positions, shape.channels, dout, batch.u,
               batch.mean, sums.as<float2>());
    launch(channels_shape(name, shape), finish_sums<T>, grouping.groups(), shape.positions,
           shape.channels, sums.as<float2>(), batch, of, dgamma, dbeta);
    if (grouping.tiles() == 0) return;
    launch_rows(
        name, shape,
        ApplyInputGradient<T>{.places = {labels, shape.positions * shape.channels, shape.channels},
                              .dout = dout,
                              .u = batch.u,
                              .mean = batch.mean,
                              .of = of,
                              .du = du},
        dout, batch.u, du);
}
CNPD_INSTANTIATE(polarizer_batch_backward);

}  // namespace cnpd::kernels::cuda
