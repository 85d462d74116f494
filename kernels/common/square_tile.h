// A 32 x 32 tile of a square matrix, stored as it is and transposed, both in whole sectors: the
// transposed one goes through shared memory. For .cu files.
#pragma once

#include "kernels/common/cuda.h"

namespace cnpd::kernels {

// By blocks of 32 x 8 threads; a thread has four rows of its column.
struct SquareTile {
    static constexpr int kSide = 32, kRowsAtOnce = 8, kRows = kSide / kRowsAtOnce;

    // Row of the tile of this thread's r-th number, and its column.
    __device__ static int row(int r) { return static_cast<int>(threadIdx.y) + r * kRowsAtOnce; }
    __device__ static int column() { return static_cast<int>(threadIdx.x); }

    // The tile that begins at (i0, j0) of matrices [side,side]; `transposed` may be null. Between
    // two calls with transposed matrices a barrier is needed.
    template <typename T>
    __device__ static void store(const float (&numbers)[kRows], int side, int i0, int j0, T* matrix,
                                 T* transposed) {
        __shared__ float tile[kSide][kSide + 1];
        const int j = j0 + column();
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
            const int i = i0 + row(r);
            if (i >= side || j >= side) continue;
            matrix[std::int64_t{i} * side + j] = T(numbers[r]);
            if (transposed) tile[row(r)][column()] = numbers[r];
        }
        if (!transposed) return;  // the whole block
        __syncthreads();
#pragma unroll
        for (int r = 0; r < kRows; ++r)
            if (i0 + column() < side && j0 + row(r) < side)
                transposed[std::int64_t{j0 + row(r)} * side + i0 + column()] =
                    T(tile[column()][row(r)]);
    }
};

}  // namespace cnpd::kernels
