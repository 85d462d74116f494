#include "kernels/common/philox.h"

#include "tests/support/compare.h"

using namespace cnpd::kernels;

// Random123's published vectors (kat_vectors, philox4x32 10). Its counter words 0 and 1 are our
// counter, 2 and 3 our stream, least significant word first.
TEST_CASE("philox gives the published known answers") {
    struct Vector {
        std::uint64_t seed, stream, counter;
        std::uint32_t expected[4];
    };
    const Vector vectors[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (const Vector& vector : vectors) {
        const PhiloxResult result = philox(vector.seed, vector.stream, vector.counter);
        for (int word = 0; word < 4; ++word) CHECK(result.v[word] == vector.expected[word]);
    }
}

TEST_CASE("uniforms and bounded integers stay in their ranges") {
    CHECK(uniform_from_bits(0) == 0.0f);
    CHECK(uniform_from_bits(0xffffffffu) == 1.0f - 0x1p-24f);
    for (const std::uint32_t bound : {1u, 3u, 9u, 0xffffffffu}) {
        CHECK(below_from_bits(0, bound) == 0);
        CHECK(below_from_bits(0xffffffffu, bound) == bound - 1);
    }
}
