// A block's 128 x 128 tile of a bfloat16 matrix product, by 256 threads as in tensor_tile.h, but
// with ldmatrix and mma.sync (tensor_core.h), whose elements have documented places. For .cu files.
//
// An operand is 128 lines of 64 k: 128 bytes, all 32 banks. The eight 16-byte pieces of a line are
// permuted by its number modulo 8, which is the layout of the copy engine and of wgmma
// (hopper.h). ldmatrix reads the same piece of eight neighbouring lines at once. Without the
// permutation these are in the same four banks, with it in all of them. Stores of whole lines do
// not conflict in either case.
//
// A thread's sums in one row are columns 8 j + 2 q + {0, 1}. With the order of the map's lines
// in hopper_tiles.h these are eight neighbouring channels, which are stored directly from
// registers.
#pragma once

#include "kernels/common/tensor_core.h"
#include "kernels/polarizer/operands.h"
#include "kernels/polarizer/versions/hopper_tiles.h"

namespace cnpd::kernels::cuda {

class SwizzledTile {
  public:
    static constexpr int kDepth = 64;
    static constexpr int kPack = 8;          // neighbouring channels that for_each passes at once
    static constexpr int kStagingBytes = 0;  // for_each needs no shared memory
    struct alignas(kBytesOfAccess) Piece {
        unsigned char of[kBytesOfAccess];
    };
    static constexpr int kPieces = 8;  // of a line
    using Operand = Piece[kTileLines][kPieces];
    struct Shared {};

    // Where 8 k of a line are stored.
    template <typename Lines>
    __device__ static auto* address(Lines& operand, int line, int k) {
        return &operand[line][k / 8 ^ line % kPieces];
    }
    __device__ static int channel_of_line(int line) {
        return hopper_tiles::channel_of_column(line);
    }

    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
            for (int j = 0; j < kColumns; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) sum_[i][j][e] = 0;
    }

    __device__ void add(const Operand& a, const Operand& b) {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        // The lane's row of the four 8x8 matrices: of `a` two rows by two k, of `b` two columns.
        const int of_row = row0() + lane % 16, k_of_row = lane / 16 * 8;
        const int of_column = column0() + lane / 16 * 8 + lane % 8, k_of_column = lane / 8 % 2 * 8;
#pragma unroll
        for (int k = 0; k < kDepth; k += 16) {
            std::uint32_t rows[kRows][4], columns[kColumns / 2][2][2];
#pragma unroll
            for (int i = 0; i < kRows; ++i)
                load_matrices(rows[i], address(a, of_row + 16 * i, k + k_of_row));
#pragma unroll
            for (int j = 0; j < kColumns / 2; ++j) {
                std::uint32_t four[4];
                load_matrices(four, address(b, of_column + 16 * j, k + k_of_column));
#pragma unroll
                for (int e = 0; e < 4; ++e) columns[j][e / 2][e % 2] = four[e];
            }
#pragma unroll
            for (int i = 0; i < kRows; ++i)
#pragma unroll
                for (int j = 0; j < kColumns; ++j)
                    multiply_add_bf16(sum_[i][j], rows[i], columns[j / 2][j % 2]);
        }
    }

    // For every row of this thread: state = begin(row), then visit(state, channel of the tile, pack
    // of sums).
    template <typename Begin, typename Visit>
    __device__ void for_each(Shared&, const Begin& begin, const Visit& visit) const {
        const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
        for (int i = 0; i < 2 * kRows; ++i) {
            const auto state = begin(row0() + 8 * i + lane / 4);
            Pack<float, kPack> pack;
#pragma unroll
            for (int e = 0; e < kPack; ++e) pack.of[e] = sum_[i / 2][e / 2][2 * (i % 2) + e % 2];
            visit(state, column0() + lane % 4 * kPack, pack);
        }
    }

  private:
    static constexpr int kRows = 4, kColumns = 4;  // products of 16x8 of a warp

    // The warps are 2 x 4 in the tile.
    __device__ static int row0() {
        return static_cast<int>(threadIdx.x) / 32 / 4 * (16 * kRows);
    }
    __device__ static int column0() {
        return static_cast<int>(threadIdx.x) / 32 % 4 * (8 * kColumns);
    }

    float sum_[kRows][kColumns][4];
};

}  // namespace cnpd::kernels::cuda
