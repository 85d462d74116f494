// The tensor cores' warp-wide matrix product with the names of NVIDIA's mma.h: 16x16x16 tiles of
// bfloat16 and 16x16x8 tiles of TF32, both with float32 sums. CUDA does not specify which lane
// holds which element; here each lane holds neighbouring elements of the row-major tile.
#pragma once

#include <bit>
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

namespace precision {
struct tf32;
}

// Rounds to 11 significant bits, to nearest, ties away from zero.
inline float __float_to_tf32(float value) {
    constexpr std::uint32_t kHalf = 1u << 12, kKept = ~((1u << 13) - 1);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (!std::isfinite(value)) return value;
    return std::bit_cast<float>((bits + kHalf) & kKept);
}

template <typename Use, int M, int N, int K, typename T, typename Layout = void>
struct fragment {
    static_assert(M == 16 && N == 16);
    static_assert(std::is_same_v<Use, accumulator> || K == (sizeof(T) == 2 ? 16 : 8));
    static constexpr int kRows = std::is_same_v<Use, matrix_b> ? K : M;
    static constexpr int kColumns = std::is_same_v<Use, matrix_a> ? K : N;
    static constexpr int num_elements = kRows * kColumns / cnpd::kernels::emulator::kWarp;
    T x[num_elements];
};

namespace detail {
template <typename Use, int M, int N, int K, typename Layout>
using Tf32Fragment = fragment<Use, M, N, K, float, Layout>;

// Address of element `i` of this lane.
template <typename Fragment>
std::int64_t offset(int i, unsigned stride, bool columns) {
    const int element = Fragment::num_elements * cnpd::kernels::emulator::lane() + i;
    const int row = element / Fragment::kColumns, column = element % Fragment::kColumns;
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

template <typename Use, typename Layout>
struct fragment<Use, 16, 16, 8, precision::tf32, Layout>
    : detail::Tf32Fragment<Use, 16, 16, 8, Layout> {};

template <typename Fragment, typename T>
void fill_fragment(Fragment& fragment, T value) {
    for (auto& element : fragment.x) element = value;
}

template <typename Use, int K, typename Factor, typename Layout, typename T>
void load_matrix_sync(fragment<Use, 16, 16, K, Factor, Layout>& fragment, const T* from,
                      unsigned stride) {
    using Fragment = std::remove_reference_t<decltype(fragment)>;
    detail::meet();
    for (int i = 0; i < fragment.num_elements; ++i)
        fragment.x[i] =
            from[detail::offset<Fragment>(i, stride, std::is_same_v<Layout, col_major>)];
}

template <int K, typename T>
void store_matrix_sync(T* to, const fragment<accumulator, 16, 16, K, T>& fragment, unsigned stride,
                       layout_t layout) {
    using Fragment = std::remove_cvref_t<decltype(fragment)>;
    detail::meet();
    for (int i = 0; i < fragment.num_elements; ++i)
        to[detail::offset<Fragment>(i, stride, layout == mem_col_major)] = fragment.x[i];
}

namespace detail {
inline float value(__nv_bfloat16 element) {
    return __bfloat162float(element);
}
inline float value(float element) {
    return element;
}
}  // namespace detail

namespace detail {

template <int K, typename Factor>
struct Operands {
    const Factor *a, *b;
    const float* c;
    float* d;
};

// Fragments are registers: accesses to them are not checked.
template <int K, typename Factor>
__attribute__((no_sanitize("thread"))) void multiply(
    std::span<void* const, cnpd::kernels::emulator::kWarp> of_lane) {
    constexpr int kSide = 16, kOfLane = kSide * K / cnpd::kernels::emulator::kWarp;
    float left[kSide][K], right[K][kSide];
    for (int e = 0; e < kSide * K; ++e) {
        const auto* lane = static_cast<const Operands<K, Factor>*>(of_lane[e / kOfLane]);
        left[e / K][e % K] = value(lane->a[e % kOfLane]);
        right[e / kSide][e % kSide] = value(lane->b[e % kOfLane]);
    }
    for (int e = 0; e < kSide * kSide; ++e) {
        auto* lane = static_cast<Operands<K, Factor>*>(of_lane[e / 8]);
        float sum = lane->c[e % 8];
        for (int k = 0; k < K; ++k) sum += left[e / kSide][k] * right[k][e % kSide];
        lane->d[e % 8] = sum;
    }
}

}  // namespace detail

// d = a b + c
template <int K, typename Factor, typename LayoutA, typename LayoutB>
void mma_sync(fragment<accumulator, 16, 16, K, float>& d,
              const fragment<matrix_a, 16, 16, K, Factor, LayoutA>& a,
              const fragment<matrix_b, 16, 16, K, Factor, LayoutB>& b,
              const fragment<accumulator, 16, 16, K, float>& c) {
    using Element = std::remove_cvref_t<decltype(a.x[0])>;
    detail::Operands<K, Element> mine{a.x, b.x, c.x, d.x};
    cnpd::kernels::emulator::warp_collective(~0u, detail::multiply<K, Element>, &mine);
}

}  // namespace nvcuda::wmma
