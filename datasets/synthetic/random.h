// Random numbers of one image.
#pragma once

#include <cstdint>

#include "datasets/synthetic/geometry.h"
#include "kernels/common/philox.h"

namespace cnpd::datasets::synthetic {

// Reads a Philox stream word by word.
class Random {
  public:
    Random(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

    std::uint32_t bits() {
        if (used_ == 4) {
            block_ = kernels::philox(seed_, stream_, counter_++);
            used_ = 0;
        }
        return block_.v[used_++];
    }
    float uniform(float low, float high) {
        return low + (high - low) * kernels::uniform_from_bits(bits());
    }
    bool chance(float probability) { return kernels::uniform_from_bits(bits()) < probability; }
    int below(int bound) { return static_cast<int>(kernels::below_from_bits(bits(), bound)); }
    // Mean 0, variance 1: the sum of a word's four bytes, close enough to normal for camera noise.
    float noise() {
        const std::uint32_t word = bits();
        const float sum = static_cast<float>((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) +
                                             (word >> 24));
        return (sum - 510.0f) * (1 / 147.8f);
    }
    Colour around(Colour centre, float spread) {
        const float all = uniform(-spread, spread);
        const auto channel = [&](float value) {
            return std::clamp(value + all + uniform(-spread, spread) / 2, 0.02f, 0.98f);
        };
        const float r = channel(centre.r), g = channel(centre.g), b = channel(centre.b);
        return {r, g, b};
    }

  private:
    std::uint64_t seed_, stream_, counter_ = 0;
    kernels::PhiloxResult block_{};
    int used_ = 4;
};

}  // namespace cnpd::datasets::synthetic
