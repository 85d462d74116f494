// Version 6: no registers between memory and shared memory, and no padding. For bfloat16, whose
// rows have to be aligned to 16 bytes; else version 5 runs.
//
//   - cp.async copies 32 rows of both operands straight to shared memory, up to three pieces ahead
//     of the one that is multiplied. A wait and a barrier for each piece.
//   - Both operands have k, the row, outermost. mma.sync wants pairs of k in a register, so the
//     matrices are transposed on the way: ldmatrix.trans does it for four 8x8 matrices at once.
//   - An 8x8 matrix is 16 bytes of 8 rows. Rows of 256 or 512 bytes would put these into the same
//     banks; the 16-byte pieces of a row are permuted by its number modulo 8, as by Hopper's
//     128-byte swizzle. Neither copies nor loads have conflicts, and there is no padding.
//   - A warp computes 64 x 64: 8 x 512 bytes of fragments for 32 products of 16x8x16, two thirds of
//     version 5's. A block has 256 channels of dout and 128 of z (8 warps; 4 for 128 x 128 where C
//     has an odd number of 128s): the L2 cache delivers 768 bytes for 32,768 multiply-adds, three
//     quarters of version 5's.
//   - Sums are stored directly from registers, whose places mma.sync specifies: 8 rows in whole
//     sectors.
//   - db is one more column of the product, with z = 1: the fragments of dout are in registers
//     anyway. Blocks of the first columns compute it, 2 products for 32, and no others.
//
// At C = 512 and 65,536 rows: 0.40 GB of operands and 0.03 GB of partial sums from the L2 cache, 79
// us at 5.5 TB/s; shared memory 67 us, copies included; the tensor cores 45 us at the rate that
// wgmma reaches on Hopper, and 70 us at the 60 to 65 % of it that mma.sync reaches. Prediction: 80
// to 90 us on an H100, three quarters of version 5's time.
#include "kernels/common/async_copy.h"
#include "kernels/common/tensor_core.h"
#include "kernels/polarizer/sums_over_rows.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kColumns = 128, kWarpSide = 64;  // channels of z of a block; both sides of a warp
constexpr int kDepth = 32;                     // rows of a piece
constexpr int kPacked = 8;                     // channels of 16 bytes
constexpr int kAcross = kColumns / kPacked;    // threads that share a row

// Rows: channels of dout of a block, and its number of threads.
template <int Rows, bool Swizzled>
struct Stage {
    static constexpr int kStages = Rows > kColumns ? 4 : 3;  // 96 or 48 KB
    static_assert(Rows / kWarpSide * (kColumns / kWarpSide) * 32 == Rows);
    bfloat16 dout[kDepth][Rows], z[kDepth][kColumns];

    // Where `channel`, a multiple of 8, is in its row.
    __device__ static int place(int row, int channel) {
        return Swizzled ? channel ^ row % 8 * kPacked : channel;
    }
};

// Copies a segment's pieces. A thread copies 8 channels of z and of each 128 channels of dout, of
// every kAtOnce'th row.
template <typename Piece, int Rows>
class Copies {
  public:
    struct Source {
        const bfloat16 *dout, *z;
        int channels, row0, column0;
    };

    __device__ Copies(const Source& source, const TileRows& rows)
        : source_(source),
          rows_(rows),
          row_(rows.first + line()),
          slot_(row_ / rows.positions),
          position_(row_ % rows.positions),
          step_slots_(kAtOnce / rows.positions),
          step_positions_(kAtOnce % rows.positions) {
        look_up();
    }

    // Starts to copy the next kDepth rows; those behind the last become zeros.
    __device__ void copy(Piece& to) {
#pragma unroll
        for (int r = 0; r < kOfThread; ++r) {
            const int line_of_piece = line() + r * kAtOnce;
            const std::int64_t at = std::int64_t{place_[r]} * source_.channels;
            const auto copy_channels = [&](bfloat16* to_row, const bfloat16* from, int begin) {
                const int channel = begin + column();
                const bool exists = place_[r] >= 0 && channel < source_.channels;
                copy_16_bytes(to_row, exists ? from + at + channel : from, exists);
            };
#pragma unroll
            for (int i = 0; i < Rows; i += kColumns)
                copy_channels(&to.dout[line_of_piece][i + Piece::place(line_of_piece, column())],
                              source_.dout, source_.row0 + i);
            copy_channels(&to.z[line_of_piece][Piece::place(line_of_piece, column())], source_.z,
                          source_.column0);
        }
        look_up();
    }

  private:
    static constexpr int kAtOnce = Rows / kAcross, kOfThread = kDepth / kAtOnce;

    __device__ static int line() {
        return static_cast<int>(threadIdx.x) / kAcross;
    }
    __device__ static int column() {
        return static_cast<int>(threadIdx.x) % kAcross * kPacked;
    }
    // The places of the next rows, before they are needed: the list of samples is in memory.
    __device__ void look_up() {
#pragma unroll
        for (int r = 0; r < kOfThread; ++r) {
            place_[r] = -1;
            if (rows_.has(row_))
                place_[r] = rows_.order ? rows_.order[slot_] * rows_.positions + position_ : row_;
            row_ += kAtOnce;
            slot_ += step_slots_;
            position_ += step_positions_;
            if (position_ < rows_.positions) continue;
            position_ -= rows_.positions;
            ++slot_;
        }
    }

    Source source_;
    TileRows rows_;
    int row_, slot_, position_, step_slots_, step_positions_;
    int place_[kOfThread];
};

// A warp's 64 x 64 sums of its block's tile, in 4 x 8 products of 16 x 8. Product i has the rows
// from row_ ^ 16 i on: products 0 and 1, whose rows the warp also sums for db, are the upper half
// in the block's first column of warps, and the lower half in the second.
template <typename Piece>
class WarpTile {
  public:
    __device__ WarpTile(int row, int column) : row_(row + column / 2), column_(column) {}

    template <bool WithB>
    __device__ void add(const Piece& piece) {
        const int lane = static_cast<int>(threadIdx.x) % 32, line = lane % 8;
        // The four matrices of a load, transposed, are a fragment of a, or of b for two products:
        // dout's (k, channels), (k, channels + 8), (k + 8, channels), (k + 8, channels + 8), and
        // z's (k, channels), (k + 8, channels), (k, channels + 8), (k + 8, channels + 8).
        const int k_of_dout = line + lane / 16 * 8, row_of_dout = lane / 8 % 2 * 8;
        const int k_of_z = line + lane / 8 % 2 * 8, column_of_z = lane / 16 * 8;
#pragma unroll
        for (int k = 0; k < kDepth; k += 16) {
            std::uint32_t a[kDown][4], b[kRight / 2][4];
#pragma unroll
            for (int i = 0; i < kDown; ++i)
                load_matrices_transposed(
                    a[i],
                    &piece.dout[k + k_of_dout][Piece::place(line, (row_ ^ 16 * i) + row_of_dout)]);
#pragma unroll
            for (int j = 0; j < kRight / 2; ++j)
                load_matrices_transposed(
                    b[j], &piece.z[k + k_of_z][Piece::place(line, column_ + 16 * j + column_of_z)]);
#pragma unroll
            for (int i = 0; i < kDown; ++i) {
#pragma unroll
                for (int j = 0; j < kRight; ++j)
                    multiply_add_bf16(sum_[i][j], a[i],
                                      {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]});
                if constexpr (WithB)
                    if (i < 2) multiply_add_bf16(of_dout_[i], a[i], {kOnes, kOnes});
            }
        }
    }

    // To da; (row0, column0) are the block's first row and column.
    __device__ void store_a(int channels, int row0, int column0, float* da) const {
#pragma unroll
        for (int i = 0; i < kDown; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = row0 + row_of(i, half);
                if (row >= channels) continue;
#pragma unroll
                for (int j = 0; j < kRight; ++j) {
                    const int column =
                        column0 + column_ + 8 * j + 2 * (static_cast<int>(threadIdx.x) % 4);
                    if (column < channels)
                        store(da + std::int64_t{row} * channels + column,
                              Pack<float, 2>{sum_[i][j][2 * half], sum_[i][j][2 * half + 1]});
                }
            }
    }
    // To db. All columns of the product with ones are the same.
    __device__ void store_b(int channels, int row0, float* db) const {
        if (threadIdx.x % 4 != 0) return;
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = row0 + row_of(i, half);
                if (row < channels) db[row] = of_dout_[i][2 * half];
            }
    }

  private:
    static constexpr int kDown = kWarpSide / 16, kRight = kWarpSide / 8;  // products
    static constexpr std::uint32_t kOnes = 0x3F803F80;                    // two bfloat16

    __device__ int row_of(int product, int half) const {
        return (row_ ^ 16 * product) + 8 * half + static_cast<int>(threadIdx.x) % 32 / 4;
    }

    int row_, column_;
    float sum_[kDown][kRight][4] = {}, of_dout_[2][4] = {};
};

// blockIdx.x: part; y, z: the piece of `Rows` rows (channels of dout) and 128 columns (of z) of da.
template <int Rows, bool Swizzled>
__global__ void __launch_bounds__(Rows, 256 / Rows)
    copy_and_multiply(ClassTiles tiles, RowSums to, const bfloat16* dout, const bfloat16* z) {
    using Piece = Stage<Rows, Swizzled>;
    constexpr int kStages = Piece::kStages;
    CNPD_DYNAMIC_SHARED(Piece, pieces);
    const auto part = static_cast<int>(blockIdx.x);
    const int row0 = static_cast<int>(blockIdx.y) * Rows,
              column0 = static_cast<int>(blockIdx.z) * kColumns;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const bool with_b = to.db && column0 == 0;
    const int count = tiles.first_tile(tiles.classes), last = to.first_tile(part + 1, count);
    for (int begin = to.first_tile(part, count); begin < last;) {
        const auto [rows, end, place] = to.segment(tiles, part, begin, last);
        const int steps = (rows.end - rows.first + kDepth - 1) / kDepth;
        Copies<Piece, Rows> copies({dout, z, to.channels, row0, column0}, rows);
        WarpTile<Piece> tile(warp / 2 * kWarpSide, warp % 2 * kWarpSide);
        // A group of copies for each piece, also for those behind the last, so that the same number
        // of groups is behind the one that is waited for.
        const auto copy = [&](int step) {
            if (step < steps) copies.copy(pieces[step % kStages]);
            commit_copies();
        };
        for (int step = 0; step < kStages - 1; ++step) copy(step);
        for (int step = 0; step < steps; ++step) {
            wait_for_copies<kStages - 2>();
            // All threads' copies of this piece are there, and all have multiplied the previous
            // one, which the next copies overwrite.
            __syncthreads();
            copy(step + kStages - 1);
            if (with_b)
                tile.template add<true>(pieces[step % kStages]);
            else
                tile.template add<false>(pieces[step % kStages]);
        }
        tile.store_a(to.channels, row0, column0, to.of_a(place));
        if (with_b) tile.store_b(to.channels, row0, to.of_b(place));
        __syncthreads();  // the next class overwrites the last pieces
        begin = end;
    }
}

template <int Rows, bool Swizzled>
void start(const char* name, const PolarizerShape& s, const ClassTiles& tiles, const bfloat16* z,
           const bfloat16* dout, float* da, float* db, int parts) {
    using Piece = Stage<Rows, Swizzled>;
    const unsigned down = ceil_div(s.channels, Rows), across = ceil_div(s.channels, kColumns);
    // As many blocks as fit a GPU at a time.
    const std::int64_t wanted =
        parts > 0 ? parts : kMultiprocessors * (256 / Rows) / (down * across);
    sum_in_parts(name, s, tiles, wanted, da, db, [&](const RowSums& to) {
        launch({.name = name,
                .grid = {static_cast<unsigned>(to.parts), down, across},
                .block = Rows,
                .dynamic_shared = Piece::kStages * sizeof(Piece)},
               copy_and_multiply<Rows, Swizzled>, tiles, to, dout, z);
    });
}

template <bool Swizzled>
void run(const char* name, const PolarizerShape& shape, const bfloat16* z, const bfloat16* dout,
         const PolarizerSamples& samples, float* da, float* db, int parts) {
    if (!rows_are_aligned<bfloat16>(shape.channels, {z, dout}) ||
        !rows_are_aligned<float>(shape.channels, {da}))
        return polarizer_wgrad_v5(shape, z, dout, samples, da, db, parts);
    if (shape.channels == 0 || shape.classes == 0) return;
    const bool even = ceil_div(shape.channels, kColumns) % 2 == 0;
    (even ? start<256, Swizzled> : start<128, Swizzled>)(name, shape, class_tiles(shape, samples),
                                                         z, dout, da, db, parts);
}

}  // namespace

void polarizer_wgrad_v6(const PolarizerShape& shape, const bfloat16* z, const bfloat16* dout,
                        const PolarizerSamples& samples, float* da, float* db, int parts) {
    run<true>("polarizer_wgrad_v6", shape, z, dout, samples, da, db, parts);
}

void polarizer_wgrad_v6_linear(const PolarizerShape& shape, const bfloat16* z, const bfloat16* dout,
                               const PolarizerSamples& samples, float* da, float* db, int parts) {
    run<false>("polarizer_wgrad_v6_linear", shape, z, dout, samples, da, db, parts);
}

}  // namespace cnpd::kernels::cuda
