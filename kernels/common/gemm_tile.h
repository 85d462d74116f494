// One tile of a matrix product, computed by a block: shared memory for reuse between threads,
// registers for reuse within a thread. Two loaders supply the operands, so the same code serves
// plain matrices, convolutions (whose matrices are not stored) and maps that are chosen for each
// sample.
#pragma once

#include "kernels/common/cuda.h"

namespace cnpd::kernels {

// A loader supplies one operand:
//     struct Loader {
//         static constexpr bool along_k;          // neighbours in k are neighbours in memory
//         Line line(std::int64_t i) const;        // shared by all elements of row (column) i
//         float at(const Line&, std::int64_t k) const;   // the element; 0 outside of the matrix
//     };

// TM x TN elements of the product by a block of 256 threads, each of which computes TM/16 x TN/16
// of them: rows 16 apart, columns 16 apart.
template <int TM, int TN>
struct GemmTile {
    static constexpr int kThreads = 256, kSide = 16, kK = 16;
    static constexpr int kRows = TM / kSide, kColumns = TN / kSide;

    float sum[kRows][kColumns];

    __device__ static int row(int i) { return static_cast<int>(threadIdx.x) / kSide + i * kSide; }
    __device__ static int column(int j) {
        return static_cast<int>(threadIdx.x) % kSide + j * kSide;
    }

    // sum += a[row0 + ., k] b[k, column0 + .] over k in [begin, end).
    template <typename A, typename B>
    __device__ void add(const A& a, std::int64_t row0, const B& b, std::int64_t column0,
                        std::int64_t begin, std::int64_t end) {
        // Padded by one column: threads that store along k then use different banks.
        __shared__ float left[kK][TM + 1], right[kK][TN + 1];
        for (std::int64_t k0 = begin; k0 < end; k0 += kK) {
            load<TM>(a, row0, k0, end, left);
            load<TN>(b, column0, k0, end, right);
            __syncthreads();
            for (int k = 0; k < kK; ++k) {
                float of_a[kRows], of_b[kColumns];
                for (int i = 0; i < kRows; ++i) of_a[i] = left[k][row(i)];
                for (int j = 0; j < kColumns; ++j) of_b[j] = right[k][column(j)];
                for (int i = 0; i < kRows; ++i)
                    for (int j = 0; j < kColumns; ++j) sum[i][j] += of_a[i] * of_b[j];
            }
            __syncthreads();
        }
    }

    __device__ void clear() {
        for (int i = 0; i < kRows; ++i)
            for (int j = 0; j < kColumns; ++j) sum[i][j] = 0;
    }

  private:
    // Neighbouring threads load neighbouring elements.
    template <int Lines, typename Loader>
    __device__ static void load(const Loader& loader, std::int64_t line0, std::int64_t k0,
                                std::int64_t end, float (&tile)[kK][Lines + 1]) {
        const int thread = static_cast<int>(threadIdx.x);
        if constexpr (Loader::along_k) {
            const int k = thread % kK;
            for (int i = thread / kK; i < Lines; i += kThreads / kK)
                tile[k][i] = k0 + k < end ? loader.at(loader.line(line0 + i), k0 + k) : 0.0f;
        } else {
            const auto line = loader.line(line0 + thread % Lines);
            for (int k = thread / Lines; k < kK; k += kThreads / Lines)
                tile[k][thread % Lines] = k0 + k < end ? loader.at(line, k0 + k) : 0.0f;
        }
    }
};

// A row-major matrix [lines,depth] or, if along_k is false, [depth,lines].
template <bool AlongK, typename T = float>
struct MatrixLoader {
    static constexpr bool along_k = AlongK;
    struct Line {
        std::int64_t index;
    };
    const T* data;
    std::int64_t lines, depth;

    __device__ Line line(std::int64_t i) const { return {i}; }
    __device__ float at(const Line& line, std::int64_t k) const {
        if (line.index >= lines) return 0;
        return AlongK ? data[line.index * depth + k] : data[k * lines + line.index];
    }
};

}  // namespace cnpd::kernels
