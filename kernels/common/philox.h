// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011). The same key and counter give the same numbers on every backend, for any
// number of threads.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct PhiloxResult {
    std::uint32_t v[4];
};

// Ten rounds over the 128-bit counter {counter, stream} with the 64-bit key `seed`.
CNPD_HOST_DEVICE inline PhiloxResult philox(std::uint64_t seed, std::uint64_t stream,
                                            std::uint64_t counter) {
    std::uint32_t c0 = static_cast<std::uint32_t>(counter);
    std::uint32_t c1 = static_cast<std::uint32_t>(counter >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(stream);
    std::uint32_t c3 = static_cast<std::uint32_t>(stream >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(seed);
    std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0;
        const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c2;
        c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
        c1 = static_cast<std::uint32_t>(p1);
        c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c3 = static_cast<std::uint32_t>(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1): the top 24 bits, so that every value is exact in float.
CNPD_HOST_DEVICE inline float uniform_from_bits(std::uint32_t bits) {
    return static_cast<float>(bits >> 8) * 0x1p-24f;
}

// Uniform integer in [0, bound) by multiplication; the bias is below bound / 2^32.
CNPD_HOST_DEVICE inline std::uint32_t below_from_bits(std::uint32_t bits, std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{bits} * bound) >> 32);
}

}  // namespace cnpd::kernels
