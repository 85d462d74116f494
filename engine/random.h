// Random numbers from Philox: a key, a stream and a counter. A sequence can be resumed from three
// integers and does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor.h"

namespace cnpd::engine {

class Generator {
  public:
    // Streams of the same seed are independent of each other.
    explicit Generator(std::uint64_t seed, std::uint64_t stream = 0)
        : seed_(seed), stream_(stream) {}

    std::uint32_t bits();
    // In [0, 1).
    float uniform();
    // In [0, bound); bound > 0.
    std::uint32_t below(std::uint32_t bound);
    // Standard normal, by Box-Muller.
    float normal();
    // 0 .. count-1 in random order (Fisher-Yates).
    std::vector<std::int32_t> permutation(std::int64_t count);

    // The number of 32-bit words drawn so far; setting it continues from there.
    std::uint64_t position() const { return position_; }
    void seek(std::uint64_t position) { position_ = position; }

  private:
    std::uint64_t seed_, stream_, position_ = 0;
};

// [shape] float32 of N(0, deviation^2).
Tensor normal_tensor(Generator& generator, const Shape& shape, float deviation, Device device = {});

}  // namespace cnpd::engine
