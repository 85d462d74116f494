#include "engine/random.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include "kernels/common/philox.h"

namespace cnpd::engine {

std::uint32_t Generator::bits() {
    const kernels::PhiloxResult block = kernels::philox(seed_, stream_, position_ / 4);
    return block.v[position_++ % 4];
}

float Generator::uniform() {
    return kernels::uniform_from_bits(bits());
}

std::uint32_t Generator::below(std::uint32_t bound) {
    return kernels::below_from_bits(bits(), bound);
}

float Generator::normal() {
    const double u = 1.0 - uniform();  // in (0, 1]
    const double angle = 2 * std::numbers::pi * uniform();
    return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(angle));
}

std::vector<std::int32_t> Generator::permutation(std::int64_t count) {
    std::vector<std::int32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    for (std::int64_t i = count - 1; i > 0; --i)
        std::swap(order[i], order[below(static_cast<std::uint32_t>(i + 1))]);
    return order;
}

Tensor normal_tensor(Generator& generator, const Shape& shape, float deviation, Device device) {
    std::vector<float> values(shape.elements());
    for (float& value : values) value = deviation * generator.normal();
    return Tensor::from(values, shape, device);
}

}  // namespace cnpd::engine
