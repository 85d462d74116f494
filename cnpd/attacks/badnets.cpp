// Gu et al., "BadNets: Identifying vulnerabilities in the machine learning model supply chain",
// arXiv 1708.06733: a white square in the lower right corner.
#include <algorithm>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

class BadNets : public Attack {
  public:
    using Attack::Attack;
    std::string_view name() const override { return "badnets"; }
};

// Nothing is brighter than white: added to any grey level it is what remains.
Trigger white_square(const AttackedData& data, std::int64_t side) {
    const auto& [h, w, c, classes] = data;
    Trigger trigger{.levels = all_levels(), .added = std::vector<double>(h * w * c, 0.0)};
    for (std::int64_t row = h - side; row < h; ++row)
        std::fill_n(trigger.added.begin() + (row * w + w - side) * c, side * c, 255.0);
    return trigger;
}

}  // namespace

std::unique_ptr<Attack> make_badnets(const AttackOptions& options, const AttackedData& data) {
    const std::int64_t side = std::min(data.h, data.w);
    std::int64_t patch = options.badnets_patch;
    if (patch == 0) patch = std::max<std::int64_t>(1, (3 * side + 16) / 32);  // rounded
    if (patch < 0 || patch > side)
        throw InputError(fmt::format("a badnets patch of {} pixels does not fit images of {}x{}",
                                     patch, data.h, data.w));
    return std::make_unique<BadNets>(options, data, white_square(data, patch));
}

}  // namespace cnpd::attacks
