// Vectors of floats as wide as the machine's registers, through the vector extension of GCC and
// clang: one source becomes SSE, AVX2 or AVX-512 code, according to -march. The type differs
// between files that are compiled for different machines, so only .cpp files and private headers of
// kernels/ may include this.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace cnpd::kernels::simd {

#if defined(__AVX512F__)
inline constexpr int kWidth = 16;
#elif defined(__AVX__)
inline constexpr int kWidth = 8;
#else
inline constexpr int kWidth = 4;
#endif

// Arithmetic works element by element; a float operand is spread over all of them.
typedef float Vector __attribute__((vector_size(kWidth * sizeof(float))));

// Neither needs alignment.
inline Vector load(const float* from) {
    Vector v;
    std::memcpy(&v, from, sizeof(v));
    return v;
}
inline void store(float* to, Vector v) {
    std::memcpy(to, &v, sizeof(v));
}

inline Vector broadcast(float value) {
    return value - Vector{};
}

// The first `count` elements, 0 in the others: all if count >= kWidth, none if count <= 0.
inline Vector load_first(const float* from, std::int64_t count) {
    if (count >= kWidth) return load(from);
    if (count <= 0) return Vector{};
    Vector v = {};
    std::memcpy(&v, from, static_cast<std::size_t>(count) * sizeof(float));
    return v;
}
inline void store_first(float* to, Vector v, std::int64_t count) {
    if (count >= kWidth) return store(to, v);
    if (count <= 0) return;
    std::memcpy(to, &v, static_cast<std::size_t>(count) * sizeof(float));
}

}  // namespace cnpd::kernels::simd
