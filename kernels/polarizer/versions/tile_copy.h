// From memory to shared memory through registers: a block's 256 threads copy 128 lines of a
// row-major matrix, Depth elements of each at a time, Width elements per access. The next piece can
// be loaded while the current one is multiplied.
#pragma once

#include "kernels/common/cuda.h"
#include "kernels/common/vector_access.h"

namespace cnpd::kernels::cuda {

template <typename T, int Width, int Depth>
class TileCopy {
  public:
    static constexpr int kThreads = 256, kLines = 128;

    // line(i) is the address of line i; null: there is no such line, it counts as zeros.
    template <typename Line>
    __device__ explicit TileCopy(const Line& line) {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) line_[p] = line(line_of(p));
    }

    // Elements [k0, k0 + Depth) of all lines; zeros from `end` on.
    __device__ void load(int k0, int end) {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
            if (line_[p] && k0 + k() < end)
                piece_[p] = kernels::load<Width>(line_[p] + k0 + k());
            else
                piece_[p] = {};
        }
    }
    // Calls put(line, k, pack) for all data that this thread has loaded.
    template <typename Put>
    __device__ void store(const Put& put) const {
#pragma unroll
        for (int p = 0; p < kPieces; ++p) put(line_of(p), k(), piece_[p]);
    }

  private:
    static constexpr int kAcross = Depth / Width;  // threads that share a line
    static constexpr int kPieces = kLines * kAcross / kThreads;

    __device__ static int k() {
        return static_cast<int>(threadIdx.x) % kAcross * Width;
    }
    __device__ static int line_of(int piece) {
        return static_cast<int>(threadIdx.x) / kAcross + piece * (kThreads / kAcross);
    }

    const T* line_[kPieces];
    Pack<T, Width> piece_[kPieces];
};

// Whether rows of so many elements begin at multiples of 16 bytes in each of these matrices.
template <typename T>
bool rows_are_aligned(std::int64_t channels, std::initializer_list<const T*> matrices) {
    std::uintptr_t bits = static_cast<std::uintptr_t>(channels) * sizeof(T);
    for (const T* matrix : matrices) bits |= reinterpret_cast<std::uintptr_t>(matrix);
    return bits % 16 == 0;
}

}  // namespace cnpd::kernels::cuda
