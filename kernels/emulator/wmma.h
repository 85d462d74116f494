// The tensor cores' warp-wide matrix product with the names of NVIDIA's mma.h, for 16x16x16 tiles
// of bfloat16 with float32 sums. CUDA does not specify which lane holds which element; here lane l
// holds elements 8 l to 8 l + 7 of the row-major tile.
#pragma once

#include <type_traits>

#include "kernels/emulator/bf16.h"
#include "kernels/emulator/warp.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int M, int N, int K, typename T, typename Layout = void>
struct fragment {
    static_assert(M == 16 && N == 16 && K == 16);
    static constexpr int num_elements = 8;
    T x[num_elements];
};

namespace detail {
constexpr int kTile = 16;

// Address of element `i` of this lane.
inline std::int64_t offset(int i, unsigned stride, bool columns) {
    const int element = 8 * cnpd::kernels::emulator::lane() + i;
    const int row = element / kTile, column = element % kTile;
    return columns ? std::int64_t{column} * stride + row : std::int64_t{row} * stride + column;
}

// Loads and stores wait for all lanes, but do not order their memory accesses.
//
inline void meet() {
    using cnpd::kernels::emulator::kWarp;
    cnpd::kernels::emulator::warp_collective(
        ~0u, [](std::span<void* const, kWarp>) {}, nullptr);
}
}  // namespace detail

template <typename Fragment, typename T>
void fill_fragment(Fragment& fragment, T value) {
    for (auto& element : fragment.x) element = value;
}

template <typename Use, typename T, typename Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& fragment, const T* from,
                      unsigned stride) {
    detail::meet();
    for (int i = 0; i < fragment.num_elements; ++i)
        fragment.x[i] = from[detail::offset(i, stride, std::is_same_v<Layout, col_major>)];
}

template <typename T>
void load_matrix_sync(fragment<accumulator, 16, 16, 16, T>& fragment, const T* from,
                      unsigned stride, layout_t layout) {
    detail::meet();
    for (int i = 0; i < fragment.num_elements; ++i)
        fragment.x[i] = from[detail::offset(i, stride, layout == mem_col_major)];
}

template <typename T>
void store_matrix_sync(T* to, const fragment<accumulator, 16, 16, 16, T>& fragment, unsigned stride,
                       layout_t layout) {
    detail::meet();
    for (int i = 0; i < fragment.num_elements; ++i)
        to[detail::offset(i, stride, layout == mem_col_major)] = fragment.x[i];
}

// d = a b + c
template <typename LayoutA, typename LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& d,
              const fragment<matrix_a, 16, 16, 16, __nv_bfloat16, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, __nv_bfloat16, LayoutB>& b,
              const fragment<accumulator, 16, 16, 16, float>& c) {
    struct Operands {
        const __nv_bfloat16 *a, *b;
        const float* c;
        float* d;
    } mine{a.x, b.x, c.x, d.x};
    cnpd::kernels::emulator::warp_collective(
        ~0u,
        [](std::span<void* const, cnpd::kernels::emulator::kWarp> of_lane) {
            using detail::kTile;
            float left[kTile][kTile], right[kTile][kTile];
            for (int e = 0; e < kTile * kTile; ++e) {
                const auto* lane = static_cast<const Operands*>(of_lane[e / 8]);
                left[e / kTile][e % kTile] = __bfloat162float(lane->a[e % 8]);
                right[e / kTile][e % kTile] = __bfloat162float(lane->b[e % 8]);
            }
            for (int e = 0; e < kTile * kTile; ++e) {
                auto* lane = static_cast<Operands*>(of_lane[e / 8]);
                float sum = lane->c[e % 8];
                for (int k = 0; k < kTile; ++k) sum += left[e / kTile][k] * right[k][e % kTile];
                lane->d[e % 8] = sum;
            }
        },
        &mine);
}

}  // namespace nvcuda::wmma
