// Products that are summed over the rows of a class: da[y] = dout^T z. With one class the sum is
// long and there are few tiles of the result, with many classes it is the other way round. So the
// list of all tiles of rows (class_tiles.h) is cut into parts of equal length, by the shape alone.
// A block computes one 128 x 128 tile of the result for its part. Where a class ends it stores its
// sums and starts again: if it has had the whole class, to the result, else to one of two partial
// results, which a second kernel adds in the order of the parts. For .cu files.
//
// Partial results are at most 2 parts C^2 floats, written and read once: 67 MB at C = 512.
#pragma once

#include "kernels/common/device_workspace.h"
#include "kernels/common/grid.h"
#include "kernels/polarizer/block_product.h"

namespace cnpd::kernels::cuda {

// da and db, and their partial results.
struct RowSums {
    int parts, channels;
    float *da, *db;                // db or null
    float *partial_a, *partial_b;  // [parts,2,C,C], [parts,2,C]

    __device__ int first_tile(int part, int tiles) const {
        return static_cast<int>(std::int64_t{tiles} * part / parts);
    }
    // The part that has the tile.
    __device__ int part_of(int tile, int tiles) const {
        return static_cast<int>((std::int64_t{tile + 1} * parts - 1) / tiles);
    }
    // Where a block stores its sums: matrix number `at` of da or of partial_a.
    struct Place {
        bool whole;
        std::int64_t at;
    };
    // Rows of one class: a part's tiles from `begin` to `end`.
    struct Segment {
        TileRows rows;
        int end;
        Place place;
    };
    // A part continues at most one class from the part before (partial result 0), and begins at
    // most one that it does not finish (1).
    __device__ Segment segment(const ClassTiles& tiles, int part, int begin, int last) const {
        const int label = tiles.entry(begin).x;
        const int class_begin = tiles.first_tile(label), class_end = tiles.first_tile(label + 1);
        const int end = class_end < last ? class_end : last;
        TileRows rows = tiles.rows_of_class(label);
        rows.first = (begin - class_begin) * kTileRows;
        const int row_end = (end - class_begin) * kTileRows;
        if (row_end < rows.end) rows.end = row_end;
        if (begin == class_begin && end == class_end) return {rows, end, {true, label}};
        return {rows, end, {false, 2 * std::int64_t{part} + (begin == class_begin)}};
    }
    __device__ float* of_a(const Place& place) const {
        return (place.whole ? da : partial_a) + place.at * channels * channels;
    }
    __device__ float* of_b(const Place& place) const {
        return (place.whole ? db : partial_b) + place.at * channels;
    }
};

// db's tile: the sums of the threads that share channels, added in their order.
template <typename Operand>
__device__ void store_sums_of_columns(Operand& operand, float (*room)[kTileLines], int left,
                                      float* out) {
#pragma unroll
    for (int e = 0; e < Operand::kWidth; ++e)
        room[Operand::down()][Operand::line() + e] = operand.sums()[e];
    operand.clear_sums();
    __syncthreads();
    const auto line = static_cast<int>(threadIdx.x);
    if (line >= kTileLines || line >= left) return;
    float sum = 0;
    for (int i = 0; i < Operand::kDown; ++i) sum += room[i][line];
    out[line] = sum;
}

// blockIdx.x: part; y, z: the piece of 128 rows (channels of dout) and columns (of z) of da.
template <typename Tile, int Width, typename Gradient, typename T>
__global__ void __launch_bounds__(kTileThreads)
    sum_over_rows(ClassTiles tiles, RowSums to, Gradient dout, Plain<T> z) {
    CNPD_DYNAMIC_SHARED(unsigned char, memory);
    auto& shared = *reinterpret_cast<typename Tile::Shared*>(memory);
    const auto part = static_cast<int>(blockIdx.x), channels = to.channels;
    const int row0 = static_cast<int>(blockIdx.y) * kTileLines,
              column0 = static_cast<int>(blockIdx.z) * kTileLines;
    const int count = tiles.first_tile(tiles.classes), last = to.first_tile(part + 1, count);
    RowOperand<Plain<T>, Width, Tile::kDepth> right(z, channels, column0);
    for (int begin = to.first_tile(part, count); begin < last;) {
        const auto [rows, end, place] = to.segment(tiles, part, begin, last);
        RowOperand<Gradient, Width, Tile::kDepth> left(dout.of_class(rows.label, channels),
                                                       channels, row0);
        left.begin(rows);
        right.begin(rows);
        Tile tile;
        tile.clear();
        multiply(tile, shared, left, right, rows.end - rows.first);
        __syncthreads();  // the operands' memory may be reused
        float* const out = to.of_a(place);
        tile.for_each(
            shared, [&](int line) { return row0 + line; },
            [&](int row, int column, const auto& sums) {
                const int c = column0 + column;
                if (row < channels)
                    store_sums<Width == 1 ? 1 : 4>(sums, nullptr, channels - c,
                                                   out + std::int64_t{row} * channels + c);
            });
        __syncthreads();              // and again
        if (to.db && column0 == 0) {  // the whole block
            store_sums_of_columns(left, reinterpret_cast<float(*)[kTileLines]>(memory),
                                  channels - row0, to.of_b(place) + row0);
            __syncthreads();
        }
        begin = end;
    }
}

// Adds the partial results of the classes that no part has had as a whole; 0 for classes without
// rows. values: of a class, C^2 or C.
template <int Width>
__global__ void add_partial_sums(ClassTiles tiles, RowSums to, std::int64_t values,
                                 const float* partial, float* out) {
    const auto label = static_cast<int>(blockIdx.y);
    const int begin = tiles.first_tile(label), end = tiles.first_tile(label + 1);
    const int count = tiles.first_tile(tiles.classes);
    const int first = begin < end ? to.part_of(begin, count) : 0;
    const int last = begin < end ? to.part_of(end - 1, count) : 0;
    if (begin < end && first == last) return;  // all blocks of the class
    for (std::int64_t i = Width * first_element(); i < values; i += Width * elements_at_once()) {
        Pack<float, Width> sum{};
        if (begin < end)
            for (int part = first; part <= last; ++part) {
                // With fewer tiles than parts, some are empty.
                if (to.first_tile(part, count) == to.first_tile(part + 1, count)) continue;
                const auto more = load<Width>(partial + (2 * part + (part == first)) * values + i);
                for (int e = 0; e < Width; ++e) sum.of[e] += more.of[e];
            }
        store(out + label * values + i, sum);
    }
}

inline void add_partial_sums(const char* name, const ClassTiles& tiles, const RowSums& to,
                             std::int64_t values, const float* partial, float* out) {
    const int width = widest_access_of_rows(values, partial, out);
    const LaunchShape shape = elements_shape(name, (values + width - 1) / width);
    launch({.name = name,
            .grid = {shape.grid.x, static_cast<unsigned>(tiles.classes)},
            .block = shape.block},
           width > 1 ? add_partial_sums<4> : add_partial_sums<1>, tiles, to, values, partial, out);
}

// Calls start(parts) to compute da, and db if not null, in `parts` parts or in as many as there are
// tiles, and adds the partial results.
template <typename Start>
void sum_in_parts(const char* name, const PolarizerShape& s, const ClassTiles& tiles,
                  std::int64_t parts, float* da, float* db, const Start& start) {
    parts = std::clamp<std::int64_t>(parts, 1, std::max<std::int64_t>(count_tiles(s, tiles), 1));
    const std::int64_t matrix = s.channels * s.channels;
    const auto floats = [](std::int64_t count) {
        return static_cast<std::size_t>(count) * sizeof(float);
    };
    const DeviceWorkspace partial_a(floats(2 * parts * matrix)),
        partial_b(floats(2 * parts * s.channels));
    const RowSums to{
        static_cast<int>(parts), static_cast<int>(s.channels), da, db, partial_a.floats(),
        partial_b.floats()};
    start(to);
    add_partial_sums(name, tiles, to, matrix, partial_a.floats(), da);
    if (db) add_partial_sums(name, tiles, to, s.channels, partial_b.floats(), db);
}

// da, and db if not null; Width elements at a time. parts: 0 for two blocks on a multiprocessor.
template <typename Tile, int Width, typename Gradient, typename T>
void launch_sums_over_rows(const char* name, const PolarizerShape& s,
                           const PolarizerSamples& samples, const Gradient& dout, const T* z,
                           float* da, float* db, int parts) {
    if (s.channels == 0 || s.classes == 0) return;
    const ClassTiles tiles = class_tiles(s, samples);
    const unsigned pieces = ceil_div(s.channels, kTileLines);
    const std::int64_t wanted = parts > 0 ? parts : 2 * kMultiprocessors / (pieces * pieces);
    constexpr std::size_t kSumsOfColumns =
        sizeof(float) * kTileLines * RowOperand<Plain<T>, Width, Tile::kDepth>::kDown;
    sum_in_parts(name, s, tiles, wanted, da, db, [&](const RowSums& to) {
        launch({.name = name,
                .grid = {static_cast<unsigned>(to.parts), pieces, pieces},
                .block = kTileThreads,
                .dynamic_shared = std::max(sizeof(typename Tile::Shared), kSumsOfColumns)},
               sum_over_rows<Tile, Width, Gradient, T>, tiles, to, dout, Plain<T>{z});
    });
}

}  // namespace cnpd::kernels::cuda
