#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/stamping/stamping.h"

namespace cnpd::kernels::cpu {
namespace {

// Calls body(first, image) for the images of each thread.
template <class Body>
void for_each_image(const StampShape& shape, const Body& body) {
    const std::int64_t grain = 16384 / std::max<std::int64_t>(1, shape.values);
    parallel_for(shape.n, grain, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t n = first; n < last; ++n) body(n * shape.values);
    });
}

}  // namespace

void stamp_bytes(const StampShape& shape, const std::uint8_t* images, const double* levels,
                 const double* added, std::uint8_t* out) {
    for_each_image(shape, [&](std::int64_t at) {
        for (std::int64_t i = 0; i < shape.values; ++i)
            out[at + i] = static_cast<std::uint8_t>(
                std::clamp(levels[images[at + i]] + added[i], 0.0, 255.0));
    });
}

}  // namespace cnpd::kernels::cpu
