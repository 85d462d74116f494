#include <algorithm>

#include "kernels/stamping/stamping.h"

namespace cnpd::kernels::reference {

void stamp_bytes(const StampShape& shape, const std::uint8_t* images, const double* levels,
                 const double* added, std::uint8_t* out) {
    for (std::int64_t i = 0; i < shape.n * shape.values; ++i)
        out[i] = static_cast<std::uint8_t>(
            std::clamp(levels[images[i]] + added[i % shape.values], 0.0, 255.0));
}

}  // namespace cnpd::kernels::reference
