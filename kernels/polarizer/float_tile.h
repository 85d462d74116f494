// A block's 128 x 128 tile of a matrix product in float32, by 256 threads: a thread computes 8 by 8
// sums. For 64 multiply-adds it reads 8 + 8 words of shared memory, in four accesses of 16 bytes.
// Both operands are stored with k outermost, so that a thread's 4 neighbours in lines are one
// access; operands whose neighbours in memory are along k are transposed on the way.
//
// For each k, a warp issues 64 multiply-adds (16 clocks of the multiprocessor's four schedulers)
// and four 16-byte reads (4 wavefronts each, 16 clocks of shared memory in parallel), so the
// arithmetic units can be busy all the time. For .cu files.
#pragma once

#include "kernels/polarizer/operands.h"

namespace cnpd::kernels::cuda {

class FloatTile {
  public:
    static constexpr int kDepth = 16;
    // The padding of 4 columns is for the transposing stores: with it two threads of a warp use the
    // same bank, without it eight. 16-byte reads require a multiple of 4.
    using Operand = float[kDepth][kTileLines + 4];
    struct Buffers {
        Operand a[2], b[2];
    };
    struct Shared {
        Buffers operands;
    };
    static constexpr int kStagingBytes = 16;  // for_each needs none; an array cannot be empty
    static constexpr int kPack = 4;           // neighbouring columns that for_each passes at once

    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < kSide; ++i)
#pragma unroll
            for (int j = 0; j < kSide; ++j) sum_[i][j] = 0;
    }

    template <typename T, int Width>
    __device__ static void put_along_k(Operand& operand, int line, int k,
                                       const Pack<T, Width>& pack) {
#pragma unroll
        for (int e = 0; e < Width; ++e) operand[k + e][line] = static_cast<float>(pack.of[e]);
    }
    template <typename T, int Width>
    __device__ static void put_along_lines(Operand& operand, int line, int k,
                                           const Pack<T, Width>& pack) {
        Pack<float, Width> wide;
#pragma unroll
        for (int e = 0; e < Width; ++e) wide.of[e] = static_cast<float>(pack.of[e]);
        store(&operand[k][line], wide);
    }

    // sum[i][j] += a[i] . b[j] over the operands' k
    __device__ void add(const Operand& a, const Operand& b) {
#pragma unroll
        for (int k = 0; k < kDepth; ++k) {
            float of_row[kSide], of_column[kSide];
            read_side(a[k], down(), of_row);
            read_side(b[k], across(), of_column);
#pragma unroll
            for (int i = 0; i < kSide; ++i)
#pragma unroll
                for (int j = 0; j < kSide; ++j) sum_[i][j] += of_row[i] * of_column[j];
        }
    }

    // For every row of this thread: state = begin(row), then visit(state, column, pack of sums).
    template <typename Begin, typename Visit>
    __device__ void for_each(Shared&, const Begin& begin, const Visit& visit) const {
#pragma unroll
        for (int i = 0; i < kSide; ++i) {
            const auto state = begin(index_in_tile(i, down()));
#pragma unroll
            for (int j = 0; j < kSide; j += kPack) {
                Pack<float, kPack> pack;
#pragma unroll
                for (int e = 0; e < kPack; ++e) pack.of[e] = sum_[i][j + e];
                visit(state, index_in_tile(j, across()), pack);
            }
        }
    }

  private:
    static constexpr int kSide = 8;  // sums in each direction: two groups of 4, 64 apart

    __device__ static int across() {
        return static_cast<int>(threadIdx.x) % 16;
    }
    __device__ static int down() {
        return static_cast<int>(threadIdx.x) / 16;
    }
    __device__ static int index_in_tile(int i, int group) {
        return i / 4 * (kTileLines / 2) + group * 4 + i % 4;
    }
    __device__ static void read_side(const float* line, int group, float (&side)[kSide]) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const auto four = load<4>(line + half * (kTileLines / 2) + group * 4);
#pragma unroll
            for (int i = 0; i < 4; ++i) side[4 * half + i] = four.of[i];
        }
    }

    float sum_[kSide][kSide];
};

}  // namespace cnpd::kernels::cuda
