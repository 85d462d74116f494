// The polarizer with batch statistics. Forward: a grouped matrix product whose blocks also store
// the mean and the squared deviations of their tile; the tiles of a class are merged in order, and
// a pass of 8 bytes per element normalises. Backward: a pass of 8 bytes for the sums; the gradient
// of u is never stored, but formed where dgrad and wgrad load their operands, 12 bytes each. Half
// as much in bfloat16.
#include "kernels/polarizer/batch_statistics.h"

#include "kernels/common/moments.h"
#include "kernels/common/row_grid.h"
#include "kernels/polarizer/sums_over_rows.h"
#include "kernels/polarizer/tile_choice.h"

namespace cnpd::kernels::cuda {
namespace {

// A tile's moments of a channel: x is the mean, y the squared deviations from it. A float2 is one
// memory access.
using TileMoments = float2;

constexpr int kHalves = kTileThreads / kTileLines;  // threads that share a column of a tile

template <typename Tile>
union ConvolutionShared {
    typename Tile::Shared product;
    struct {
        unsigned char staging[Tile::kStagingBytes];
        float sums[kTileLines][kTileLines + 4];  // of the whole tile
        float part[kHalves][kTileLines];
    } result;
};

// Adds up of_row(line) over the lines of a tile, for the column of this thread.
template <typename Shared, typename OfRow>
__device__ float sum_of_column(Shared& shared, const OfRow& of_row) {
    constexpr int kLines = kTileLines / kHalves;
    const auto column = static_cast<int>(threadIdx.x) % kTileLines,
               half = static_cast<int>(threadIdx.x) / kTileLines;
    float sum = 0;
    for (int line = half * kLines; line < (half + 1) * kLines; ++line) sum += of_row(line);
    __syncthreads();  // the last sums have been read
    shared.part[half][column] = sum;
    __syncthreads();
    return shared.part[0][column] + shared.part[1][column];
}

// u = weight[label] z, and moments [tiles,C].
template <typename Tile, int Width, typename T>
__global__ void __launch_bounds__(kTileThreads)
    convolve(ClassTiles tiles, int channels, const T* z, const T* weight, T* u,
             TileMoments* moments) {
    CNPD_DYNAMIC_SHARED(unsigned char, memory);
    auto& shared = *reinterpret_cast<ConvolutionShared<Tile>*>(memory);
    const auto index = static_cast<int>(blockIdx.x);
    if (!tiles.exists(index)) return;  // the whole block
    const int column0 = static_cast<int>(blockIdx.y) * kTileLines;
    const TileRows rows = tiles.at(index);
    {
        Tile tile;
        tile.clear();
        auto features = rows_operand<Width, Tile::kDepth>(Plain<T>{z}, rows, channels);
        auto map = map_operand<Width, Tile::kDepth>(weight, rows.label, column0, channels);
        multiply(tile, shared.product, features, map, channels);
        __syncthreads();  // the operands' memory may be reused
        tile.for_each(
            shared.product, [](int line) { return line; },
            [&](int line, int column, const auto& sums) {
                store(&shared.result.sums[line][column], sums);
            });
        __syncthreads();
    }
    const auto& sums = shared.result.sums;
    for (int line = static_cast<int>(threadIdx.x) / (kTileLines / Width); line < kTileLines;
         line += kTileThreads * Width / kTileLines) {
        const int row = rows.first + line;
        const int column = static_cast<int>(threadIdx.x) % (kTileLines / Width) * Width;
        if (!rows.has(row) || column0 + column >= channels) continue;
        store_sums<Width>(load<Width>(&sums[line][column]), nullptr, channels - column0 - column,
                          u + std::int64_t{rows.place(row)} * channels + column0 + column);
    }

    const auto thread = static_cast<int>(threadIdx.x), column = thread % kTileLines;
    const int count = min(rows.end - rows.first, kTileRows);
    // Rows after the last are 0 and add nothing.
    const float mean = sum_of_column(shared.result, [&](int line) { return sums[line][column]; }) /
                       static_cast<float>(count);
    const float squares = sum_of_column(shared.result, [&](int line) {
        const float difference = sums[line][column] - mean;
        return line < count ? difference * difference : 0.0f;
    });
    if (thread < kTileLines && column0 + column < channels)
        moments[std::int64_t{index} * channels + column0 + column] = make_float2(mean, squares);
}

// Blocks of 32 channels by 8 lanes, which share a class's tiles.
constexpr int kChannels = 32, kLanes = 8;

LaunchShape channels_shape(const char* name, const PolarizerShape& s) {
    return {.name = name,
            .grid = {ceil_div(s.channels, kChannels), static_cast<unsigned>(s.classes)},
            .block = {kChannels, kLanes}};
}

__global__ void finish_statistics(ClassTiles tiles, int channels, const TileMoments* moments,
                                  PolarizerBatchNorm norm, float* mean, float* inv_std) {
    __shared__ float counts[kLanes][kChannels], means[kLanes][kChannels],
        squares[kLanes][kChannels];
    const auto label = static_cast<int>(blockIdx.y);
    const int c = static_cast<int>(blockIdx.x * kChannels + threadIdx.x);
    const int begin = tiles.first_tile(label), end = tiles.first_tile(label + 1);
    const int rows = tiles.rows_of_class(label).end;
    Moments mine{0, 0, 0};
    if (c < channels)
        for (int tile = begin + static_cast<int>(threadIdx.y); tile < end; tile += kLanes) {
            const TileMoments of_tile = moments[std::int64_t{tile} * channels + c];
            const int count = min(rows - (tile - begin) * kTileRows, kTileRows);
            mine = merge(mine, {static_cast<float>(count), of_tile.x, of_tile.y});
        }
    counts[threadIdx.y][threadIdx.x] = mine.count;
    means[threadIdx.y][threadIdx.x] = mine.mean;
    squares[threadIdx.y][threadIdx.x] = mine.squares;
    __syncthreads();
    if (threadIdx.y != 0 || c >= channels) return;
    for (int i = 1; i < kLanes; ++i)
        mine =
            merge(mine, {counts[i][threadIdx.x], means[i][threadIdx.x], squares[i][threadIdx.x]});

    const std::int64_t at = std::int64_t{label} * channels + c;
    mean[at] = mine.mean;
    inv_std[at] = mine.count > 0 ? 1 / sqrtf(mine.squares / mine.count + norm.eps) : 1;
    if (mine.count == 0 || !norm.running_mean) return;
    const float share = norm.momentum;
    norm.running_mean[at] = (1 - share) * norm.running_mean[at] + share * mine.mean;
    norm.running_variance[at] =
        (1 - share) * norm.running_variance[at] + share * mine.squares / fmaxf(mine.count - 1, 1);
}

// A block for each sample; a thread keeps its channels, and their coefficients, at all positions.
template <int Width, typename T>
__global__ void normalise(PolarizerShape s, const std::int32_t* labels, const T* u,
                          const float* mean, const float* inv_std, PolarizerBatchNorm norm,
                          T* out) {
    const std::int64_t vectors = (labels ? labels[blockIdx.x] : 0) * s.channels;
    const std::int64_t sample = blockIdx.x * s.positions * s.channels;
    for (std::int64_t c = Width * threadIdx.x; c < s.channels; c += Width * blockDim.x) {
        const auto center = load<Width>(mean + vectors + c),
                   shift = load<Width>(norm.beta + vectors + c);
        auto scale = load<Width>(norm.gamma + vectors + c);
        const auto inverse = load<Width>(inv_std + vectors + c);
        for (int k = 0; k < Width; ++k) scale.of[k] *= inverse.of[k];
        for (std::int64_t p = threadIdx.y; p < s.positions; p += blockDim.y) {
            auto values = load<Width>(u + sample + p * s.channels + c);
            for (int k = 0; k < Width; ++k)
                values.of[k] = T((values.of[k] - center.of[k]) * scale.of[k] + shift.of[k]);
            store(out + sample + p * s.channels + c, values);
        }
    }
}

// sums [tiles,C]: of dout and of dout (u - mean) over the rows of a tile.
template <int Width, typename T>
__global__ void __launch_bounds__(kTileThreads)
    tile_sums(ClassTiles tiles, int channels, const T* dout, const T* u, const float* mean,
              float2* sums) {
    constexpr int kAcross = kTileLines / Width, kDown = kTileThreads / kAcross;
    __shared__ float2 room[kDown][kTileLines];
    const auto index = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
    if (!tiles.exists(index)) return;  // the whole block
    const TileRows rows = tiles.at(index);
    const int column0 = static_cast<int>(blockIdx.y) * kTileLines;
    const int column = thread % kAcross * Width, c = column0 + column;
    const int end = min(rows.end, rows.first + kTileRows);
    float of_g[Width] = {}, of_gx[Width] = {};
    if (c < channels) {
        const auto center = load<Width>(mean + std::int64_t{rows.label} * channels + c);
        for (int row = rows.first + thread / kAcross; row < end; row += kDown) {
            const std::int64_t i = std::int64_t{rows.place(row)} * channels + c;
            const auto g = load<Width>(dout + i), x = load<Width>(u + i);
            for (int k = 0; k < Width; ++k) {
                of_g[k] += g.of[k];
                of_gx[k] += g.of[k] * (x.of[k] - center.of[k]);
            }
        }
    }
    for (int k = 0; k < Width; ++k)
        room[thread / kAcross][column + k] = make_float2(of_g[k], of_gx[k]);
    __syncthreads();
    if (thread >= kTileLines || column0 + thread >= channels) return;
    float2 total = make_float2(0, 0);
    for (int i = 0; i < kDown; ++i) {
        total.x += room[i][thread].x;
        total.y += room[i][thread].y;
    }
    sums[std::int64_t{index} * channels + column0 + thread] = total;
}

// The gradient of u: scale (dout - share - slope (u - mean)), [classes,C] each. A source of
// operands (operands.h).
template <typename T>
struct GradientOfU {
    using Element = T;
    template <int Width>
    struct Raw {
        Pack<T, Width> dout, u;
    };
    const T *dout, *u;
    const float *mean, *scale, *share, *slope;

    template <int Width>
    __device__ Raw<Width> load(std::int64_t at) const {
        return {kernels::load<Width>(dout + at), kernels::load<Width>(u + at)};
    }
    template <int Width>
    __device__ Pack<T, Width> value(const Raw<Width>& raw, int channel, int) const {
        const auto a = kernels::load<Width>(scale + channel),
                   b = kernels::load<Width>(share + channel),
                   c = kernels::load<Width>(slope + channel),
                   m = kernels::load<Width>(mean + channel);
        Pack<T, Width> du;
        for (int k = 0; k < Width; ++k)
            du.of[k] = T(a.of[k] * (raw.dout.of[k] - b.of[k] - c.of[k] * (raw.u.of[k] - m.of[k])));
        return du;
    }
    __device__ GradientOfU of_class(int label, int channels) const {
        const std::int64_t at = std::int64_t{label} * channels;
        return {dout, u, mean + at, scale + at, share + at, slope + at};
    }
};

struct Coefficients {
    float *scale, *share, *slope;
};

__global__ void finish_sums(ClassTiles tiles, int channels, const float2* sums,
                            const float* inv_std, const float* gamma, Coefficients du,
                            float* dgamma, float* dbeta) {
    __shared__ float2 room[kLanes][kChannels];
    const auto label = static_cast<int>(blockIdx.y);
    const int c = static_cast<int>(blockIdx.x * kChannels + threadIdx.x);
    const int end = tiles.first_tile(label + 1);
    float2 sum = make_float2(0, 0);
    if (c < channels)
        for (int tile = tiles.first_tile(label) + static_cast<int>(threadIdx.y); tile < end;
             tile += kLanes) {
            const float2 of_tile = sums[std::int64_t{tile} * channels + c];
            sum.x += of_tile.x;
            sum.y += of_tile.y;
        }
    room[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || c >= channels) return;
    for (int i = 1; i < kLanes; ++i) {
        sum.x += room[i][threadIdx.x].x;
        sum.y += room[i][threadIdx.x].y;
    }
    const std::int64_t at = std::int64_t{label} * channels + c;
    const float inverse = inv_std[at];
    const float count = fmaxf(static_cast<float>(tiles.rows_of_class(label).end), 1);
    dbeta[at] = sum.x;
    dgamma[at] = sum.y * inverse;
    du.scale[at] = gamma[at] * inverse;
    du.share[at] = sum.x / count;
    du.slope[at] = sum.y * inverse * inverse / count;
}

std::size_t bytes_of(std::int64_t count, std::size_t element) {
    return static_cast<std::size_t>(count) * element;
}

template <typename Tile, int Width, typename T>
void start_convolve(const char* name, const PolarizerShape& s, const ClassTiles& tiles, const T* z,
                    const T* weight, T* u, TileMoments* moments) {
    launch({.name = name,
            .grid = {count_tiles(s, tiles), ceil_div(s.channels, kTileLines)},
            .block = kTileThreads,
            .dynamic_shared = sizeof(ConvolutionShared<Tile>)},
           convolve<Tile, Width, T>, tiles, static_cast<int>(s.channels), z, weight, u, moments);
}

}  // namespace

template <typename T>
void polarizer_batch_forward(const PolarizerShape& shape, const T* z,
                             const PolarizerSamples& samples, const T* weight,
                             const PolarizerBatchNorm& norm, T* u, float* mean, float* inv_std,
                             T* out) {
    if (shape.channels == 0) return;
    const ClassTiles tiles = class_tiles(shape, samples);
    const bool empty = is_empty(shape);
    const auto channels = static_cast<int>(shape.channels);
    const bool aligned =
        rows_are_aligned<T>(shape.channels, {z, weight, u, out}) &&
        rows_are_aligned<float>(shape.channels, {mean, inv_std, norm.gamma, norm.beta});
    const DeviceWorkspace moments(
        bytes_of(count_tiles(shape, tiles) * shape.channels, sizeof(TileMoments)));
    if (!empty)
        with_tile<T, false>({"polarizer_batch_forward_fp32", "polarizer_batch_forward_tf32",
                             "polarizer_batch_forward_bf16"},
                            [&]<typename Tile>(const char* name) {
                                (aligned ? start_convolve<Tile, kWidest<T>, T>
                                         : start_convolve<Tile, 1, T>)(name, shape, tiles, z,
                                                                       weight, u,
                                                                       moments.as<TileMoments>());
                            });
    const char* const name = "polarizer_batch_forward";
    launch(channels_shape(name, shape), finish_statistics, tiles, channels,
           moments.as<TileMoments>(), norm, mean, inv_std);
    if (empty) return;
    const int width = aligned ? kWidest<T> : 1;
    launch({.name = name,
            .grid = static_cast<unsigned>(shape.n),
            .block = row_block((shape.channels + width - 1) / width)},
           aligned ? normalise<kWidest<T>, T> : normalise<1, T>, shape, samples.labels, u, mean,
           inv_std, norm, out);
}
CNPD_INSTANTIATE(polarizer_batch_forward);

template <typename T>
void polarizer_batch_backward(const PolarizerShape& shape, const T* dout,
                              const PolarizerSamples& samples, const PolarizerBatch<T>& batch,
                              const PolarizerBatchGradients<T>& gradients) {
    if (shape.channels == 0) return;
    const char* const name = "polarizer_batch_backward";
    const ClassTiles tiles = class_tiles(shape, samples);
    const auto channels = static_cast<int>(shape.channels);
    const bool aligned =
        rows_are_aligned<T>(shape.channels,
                            {dout, batch.z, batch.u, batch.weight.transposed, gradients.dz}) &&
        rows_are_aligned<float>(shape.channels, {batch.mean, gradients.dweight});
    const std::int64_t vectors = shape.classes * shape.channels;
    const DeviceWorkspace sums(
        bytes_of(count_tiles(shape, tiles) * shape.channels, sizeof(float2))),
        scale(bytes_of(vectors, sizeof(float))), share(bytes_of(vectors, sizeof(float))),
        slope(bytes_of(vectors, sizeof(float)));
    if (!is_empty(shape))
        launch({.name = name,
                .grid = {count_tiles(shape, tiles), ceil_div(shape.channels, kTileLines)},
                .block = kTileThreads},
               aligned ? tile_sums<kWidest<T>, T> : tile_sums<1, T>, tiles, channels, dout, batch.u,
               batch.mean, sums.as<float2>());
    launch(channels_shape(name, shape), finish_sums, tiles, channels, sums.as<float2>(),
           batch.inv_std, batch.gamma, Coefficients{scale.floats(), share.floats(), slope.floats()},
           gradients.dgamma, gradients.dbeta);

    const GradientOfU<T> du{dout,           batch.u,        batch.mean,
                            scale.floats(), share.floats(), slope.floats()};
    if (gradients.dz) {
        require_transposed(batch.weight.transposed);
        with_tile<T, false>(
            {"polarizer_batch_dgrad_fp32", "polarizer_batch_dgrad_tf32",
             "polarizer_batch_dgrad_bf16"},
            [&]<typename Tile>(const char* of_tile) {
                const auto run = aligned ? launch_maps<Tile, kWidest<T>, GradientOfU<T>, T>
                                         : launch_maps<Tile, 1, GradientOfU<T>, T>;
                run(of_tile, shape, samples, du, batch.weight.transposed, nullptr, gradients.dz);
            });
    }
    if (gradients.dweight)
        with_tile<T, true>(
            {"polarizer_batch_wgrad_fp32", "polarizer_batch_wgrad_tf32",
             "polarizer_batch_wgrad_bf16"},
            [&]<typename Tile>(const char* of_tile) {
                const auto run = aligned
                                     ? launch_sums_over_rows<Tile, kWidest<T>, GradientOfU<T>, T>
                                     : launch_sums_over_rows<Tile, 1, GradientOfU<T>, T>;
                run(of_tile, shape, samples, du, batch.z, gradients.dweight, nullptr, 0);
            });
}
CNPD_INSTANTIATE(polarizer_batch_backward);

}  // namespace cnpd::kernels::cuda
