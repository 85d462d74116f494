// 4 bytes read and 4 written per element; a Philox draw, about 60 integer instructions, serves four
// elements.
#include "kernels/dropout/dropout.h"

#include "kernels/common/vector_grid.h"

namespace cnpd::kernels::cuda {
namespace {

// bits.v[n] without a variable index, which would place bits.v in local memory.
__device__ std::uint32_t word(const PhiloxResult& bits, int n) {
    const std::uint32_t of_first_two = n == 0 ? bits.v[0] : bits.v[1];
    return n < 2 ? of_first_two : n == 2 ? bits.v[2] : bits.v[3];
}

struct Drop {
    float probability, scale;
    const float* x;
    const DropoutDraw* draw;
    float* y;

    template <int Width>
    __device__ void at(std::int64_t i) const {
        const PhiloxResult bits = draw->of(i / 4);
        const int first = Width == 4 ? 0 : static_cast<int>(i % 4);
        auto values = load<Width>(x + i);
#pragma unroll
        for (int k = 0; k < Width; ++k) {
            const bool stays = uniform_from_bits(word(bits, first + k)) >= probability;
            values.of[k] = stays ? values.of[k] * scale : 0;
        }
        store(y + i, values);
    }
};

__global__ void advance_once(DropoutDraw* draw) {
    ++draw->step;
}

}  // namespace

void dropout(float probability, const float* x, std::int64_t count, const DropoutDraw* draw,
             float* y) {
    launch_packs("dropout", count, Drop{probability, 1 / (1 - probability), x, draw, y}, x, y);
}

void advance(DropoutDraw* draw) {
    launch({.name = "advance", .grid = 1, .block = 1}, advance_once, draw);
}

}  // namespace cnpd::kernels::cuda
