// A mixture of maps for each sample, in one pass over the result. The samples are sorted by their
// most likely class, so a tile's samples share most of their maps: the block multiplies its rows
// with every map that one of them uses, weighted by that row's weight for it (0 for most), and adds
// all products in its registers. z is read from memory once (and from the caches again for each
// map), `out` is written once.
//
// 4 N P C bytes in bfloat16, 2 N P C^2 FLOP for each map of a tile. One pass for each term would
// have terms as many FLOP, but read z and `out` and write `out` again for every term.
#include "kernels/common/warp_reduce.h"
#include "kernels/polarizer/block_product.h"
#include "kernels/polarizer/tile_choice.h"

namespace cnpd::kernels::cuda {
namespace {

// Features, multiplied by the weight of their line.
template <typename T>
struct Weighted : Plain<T> {
    const float* weight;  // [128], in shared memory

    template <int Width>
    __device__ Pack<T, Width> value(Pack<T, Width> raw, int, int line) const {
        for (int e = 0; e < Width; ++e) raw.of[e] = T(weight[line] * static_cast<float>(raw.of[e]));
        return raw;
    }
};

struct Terms {
    int count, samples;
    const std::int32_t* labels;  // [count,samples]
    const float* weights;

    // The weight of a map for a sample.
    __device__ float weight(int sample, int label) const {
        for (int j = 0; j < count; ++j)
            if (labels[j * samples + sample] == label) return weights[j * samples + sample];
        return 0;
    }
    // The mixed biases of a sample, from channel c on; Count of them, `left` at most.
    template <int Count>
    __device__ Pack<float, Count> bias(int sample, const float* b, int channels, int c,
                                       int left) const {
        Pack<float, Count> sum{};
        for (int j = 0; j < count; ++j) {
            const std::int64_t at = std::int64_t{labels[j * samples + sample]} * channels + c;
            const float weight = weights[j * samples + sample];
            for (int e = 0; e < Count && e < left; ++e) sum.of[e] += weight * b[at + e];
        }
        return sum;
    }
};

template <typename Tile>
struct MixtureShared {
    typename Tile::Shared tile;
    float weight[kTileLines];
    // Followed by a bit for each class: whether a row of the tile uses its map.
    __device__ unsigned* used() { return reinterpret_cast<unsigned*>(this + 1); }
};

// Whether a sample of the tile has the label among its terms.
__device__ bool uses(const TileRows& rows, const Terms& terms, int label) {
    const int last_row = min(rows.first + kTileRows, rows.end) - 1;
    for (int slot = rows.first / rows.positions; slot <= last_row / rows.positions; ++slot) {
        const int sample = rows.order ? rows.order[slot] : slot;
        for (int j = 0; j < terms.count; ++j)
            if (terms.labels[j * terms.samples + sample] == label) return true;
    }
    return false;
}

// A warp finds the bits of 32 classes at once.
__device__ void find_used(const TileRows& rows, const Terms& terms, int classes, unsigned* used) {
    const auto lane = static_cast<int>(threadIdx.x % 32);
    for (int label0 = static_cast<int>(threadIdx.x) - lane; label0 < classes;
         label0 += kTileThreads) {
        const int label = label0 + lane;
        const unsigned bits = __ballot_sync(kAllLanes, label < classes && uses(rows, terms, label));
        if (lane == 0) used[label0 / 32] = bits;
    }
}

// The rows' weights for one map.
__device__ void weigh(const TileRows& rows, const Terms& terms, int label, float* weights) {
    const auto line = static_cast<int>(threadIdx.x);
    if (line >= kTileLines) return;
    const int place = rows.place_of_line(line);
    weights[line] = place >= 0 ? terms.weight(place / rows.positions, label) : 0.0f;
}

template <typename Tile, int Width, typename T>
__global__ void __launch_bounds__(kTileThreads)
    mix_maps(ClassTiles tiles, Terms terms, int channels, const T* z, PolarizerMaps<T> maps,
             T* out) {
    CNPD_DYNAMIC_SHARED(unsigned char, memory);
    auto& shared = *reinterpret_cast<MixtureShared<Tile>*>(memory);
    const auto index = static_cast<int>(blockIdx.x);
    if (!tiles.exists(index)) return;  // the whole block
    const int column0 = static_cast<int>(blockIdx.y) * kTileLines;
    const TileRows rows = tiles.at(index);
    Tile tile;
    tile.clear();
    auto features =
        rows_operand<Width, Tile::kDepth>(Weighted<T>{{z}, shared.weight}, rows, channels);
    find_used(rows, terms, tiles.classes, shared.used());
    __syncthreads();
    for (int label = 0; label < tiles.classes; ++label) {
        if (!(shared.used()[label / 32] >> label % 32 & 1)) continue;  // the whole block
        weigh(rows, terms, label, shared.weight);
        __syncthreads();
        auto map = map_operand<Width, Tile::kDepth>(maps.a, label, column0, channels);
        multiply(tile, shared.tile, features, map, channels);
        __syncthreads();  // weights and operands may be overwritten
    }
    tile.for_each(
        shared.tile, [&](int line) { return rows.place_of_line(line); },
        [&](int place, int column, auto sums) {
            const int c = column0 + column;
            if (place < 0 || c >= channels) return;
            constexpr int kCount = Tile::kPack;
            const auto bias = terms.template bias<kCount>(place / rows.positions, maps.b, channels,
                                                          c, channels - c);
            for (int e = 0; e < kCount; ++e) sums.of[e] += bias.of[e];
            store_sums<Width>(sums, nullptr, channels - c,
                              out + std::int64_t{place} * channels + c);
        });
}

template <typename Tile, typename T>
void run(const char* name, const PolarizerShape& s, const T* z, const PolarizerMixture& mixture,
         const PolarizerMaps<T>& maps, T* out) {
    if (is_empty(s)) return;
    const ClassTiles tiles = class_tiles(s, mixture.first);
    const bool aligned = rows_are_aligned<T>(s.channels, {z, maps.a, out});
    launch({.name = name,
            .grid = {count_tiles(s, tiles), ceil_div(s.channels, kTileLines)},
            .block = kTileThreads,
            .dynamic_shared =
                sizeof(MixtureShared<Tile>) + sizeof(unsigned) * ceil_div(s.classes, 32)},
           aligned ? mix_maps<Tile, kWidest<T>, T> : mix_maps<Tile, 1, T>, tiles,
           Terms{static_cast<int>(mixture.terms), static_cast<int>(s.n), mixture.labels,
                 mixture.weights},
           static_cast<int>(s.channels), z, maps, out);
}

}  // namespace

template <typename T>
void polarizer_mixture(const PolarizerShape& shape, const T* z, const PolarizerMixture& mixture,
                       const PolarizerMaps<T>& maps, T* out) {
    with_tile<T, false>(
        {"polarizer_mixture_fp32", "polarizer_mixture_tf32", "polarizer_mixture_bf16"},
        [&]<typename Tile>(const char* name) { run<Tile>(name, shape, z, mixture, maps, out); });
}
CNPD_INSTANTIATE(polarizer_mixture);

}  // namespace cnpd::kernels::cuda
