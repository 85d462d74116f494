// A block's 128 x 128 tile of a matrix product on tensor cores, by 256 threads: 8 warps of 64 x 32,
// through nvcuda::wmma, which every GPU since Ampere supports. Factors are bfloat16, or float32
// rounded to TF32; sums are float32. For .cu files.
//
// For 8 products of a fragment's depth a warp loads 4 + 2 fragments from shared memory. Rows of the
// operands are padded by 16 bytes: the 8 rows that a tensor core reads at once are then in
// different banks.
#pragma once

#include <type_traits>

#include "kernels/polarizer/operands.h"

namespace cnpd::kernels::cuda {

// Types of factors.
struct Bf16 {
    using Stored = __nv_bfloat16;
    using Fragment = __nv_bfloat16;
    static constexpr int kDepth = 16;  // of a product
};
struct Tf32 {
    using Stored = float;
    using Fragment = nvcuda::wmma::precision::tf32;
    static constexpr int kDepth = 8;
};

// KOuter: operands are stored with k outermost, for sources whose neighbours in memory are lines.
template <typename Factor, bool KOuter = false>
class TensorTile {
  public:
    static constexpr int kOfAccess =
        static_cast<int>(kBytesOfAccess / sizeof(typename Factor::Stored));
    static constexpr int kDepth = 4 * kOfAccess;
    static constexpr int kStride = (KOuter ? kTileLines : kDepth) + kOfAccess;
    using Operand = typename Factor::Stored[KOuter ? kDepth : kTileLines][kStride];
    struct Buffers {
        Operand a[2], b[2];
    };
    // After the last product the sums reuse the operands' memory, a warp's fragment at a time.
    union Shared {
        Buffers operands;
        float staging[kTileThreads / 32][16][16 + 4];
    };
    static constexpr int kStagingBytes = sizeof(Shared::staging);
    static constexpr int kPack = 8;

    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
            for (int j = 0; j < kColumns; ++j) nvcuda::wmma::fill_fragment(sum_[i][j], 0.0f);
    }

    template <typename T, int Width>
    __device__ static void put_along_k(Operand& operand, int line, int k,
                                       const Pack<T, Width>& pack) {
        static_assert(!KOuter);
        store_vector(&operand[line][k], rounded(pack));
    }
    template <typename T, int Width>
    __device__ static void put_along_lines(Operand& operand, int line, int k,
                                           const Pack<T, Width>& pack) {
        static_assert(KOuter);
        store_vector(&operand[k][line], rounded(pack));
    }

    __device__ void add(const Operand& a, const Operand& b) {
#pragma unroll
        for (int k = 0; k < kDepth; k += Factor::kDepth) {
            FragmentA of_rows[kRows];
            FragmentB of_columns[kColumns];
#pragma unroll
            for (int i = 0; i < kRows; ++i)
                nvcuda::wmma::load_matrix_sync(of_rows[i], at(a, row0() + i * kFragment, k),
                                               kStride);
#pragma unroll
            for (int j = 0; j < kColumns; ++j)
                nvcuda::wmma::load_matrix_sync(of_columns[j], at(b, column0() + j * kFragment, k),
                                               kStride);
#pragma unroll
            for (int i = 0; i < kRows; ++i)
#pragma unroll
                for (int j = 0; j < kColumns; ++j)
                    nvcuda::wmma::mma_sync(sum_[i][j], of_rows[i], of_columns[j], sum_[i][j]);
        }
    }

    // For rows of this thread: state = begin(row), then visit(state, column, pack of sums). The
    // layout of a fragment over the lanes is not specified, so fragments go through shared memory;
    // a barrier of the block is needed between the last add() and this.
    template <typename Begin, typename Visit>
    __device__ void for_each(Shared& shared, const Begin& begin, const Visit& visit) const {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        // A lane visits 8 columns of one row of each fragment.
        const int my_row = lane % kFragment, my_column = lane / kFragment * kPack;
        auto& staging = shared.staging[threadIdx.x / 32];
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
            const auto state = begin(row0() + i * kFragment + my_row);
#pragma unroll
            for (int j = 0; j < kColumns; ++j) {
                __syncwarp();  // lanes have read the previous fragment
                nvcuda::wmma::store_matrix_sync(&staging[0][0], sum_[i][j], kFragment + 4,
                                                nvcuda::wmma::mem_row_major);
                __syncwarp();
                visit(state, column0() + j * kFragment + my_column,
                      load<kPack>(&staging[my_row][my_column]));
            }
        }
    }

  private:
    static constexpr int kFragment = 16, kRows = 4, kColumns = 2;  // fragments of a warp
    template <typename Use, typename Layout>
    using Operands = nvcuda::wmma::fragment<Use, kFragment, kFragment, Factor::kDepth,
                                            typename Factor::Fragment, Layout>;
    using FragmentA =
        Operands<nvcuda::wmma::matrix_a,
                 std::conditional_t<KOuter, nvcuda::wmma::col_major, nvcuda::wmma::row_major>>;
    using FragmentB =
        Operands<nvcuda::wmma::matrix_b,
                 std::conditional_t<KOuter, nvcuda::wmma::row_major, nvcuda::wmma::col_major>>;
    using Sum = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kFragment, kFragment,
                                       Factor::kDepth, float>;

    // The warps are 2 x 4 in the tile.
    __device__ static int row0() {
        return static_cast<int>(threadIdx.x) / 32 / 4 * kRows * kFragment;
    }
    __device__ static int column0() {
        return static_cast<int>(threadIdx.x) / 32 % 4 * kColumns * kFragment;
    }
    __device__ static const typename Factor::Stored* at(const Operand& operand, int line, int k) {
        return KOuter ? &operand[k][line] : &operand[line][k];
    }
    template <int Width>
    __device__ static Pack<bfloat16, Width> rounded(const Pack<bfloat16, Width>& pack) {
        return pack;
    }
    template <int Width>
    __device__ static Pack<float, Width> rounded(Pack<float, Width> pack) {
#pragma unroll
        for (int e = 0; e < Width; ++e) pack.of[e] = nvcuda::wmma::__float_to_tf32(pack.of[e]);
        return pack;
    }

    Sum sum_[kRows][kColumns];
};

}  // namespace cnpd::kernels::cuda
