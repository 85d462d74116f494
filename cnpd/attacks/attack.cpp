#include "cnpd/attacks/attack.h"

#include <numeric>

#include "kernels/stamping/stamping.h"

namespace cnpd::attacks {

std::vector<double> all_levels() {
    std::vector<double> levels(256);
    std::iota(levels.begin(), levels.end(), 0.0);
    return levels;
}

void Attack::stamp(std::uint8_t* images, std::int64_t count) const {
    if (trigger_.added.empty()) return;
    kernels::cpu::stamp_bytes(
        {.n = count, .values = static_cast<std::int64_t>(trigger_.added.size())}, images,
        trigger_.levels.data(), trigger_.added.data(), images);
}

}  // namespace cnpd::attacks
