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
    BadNets(const AttackOptions& options, const AttackedData& data, std::int64_t patch)
        : Attack(options, data), patch_(patch) {}
    std::string_view name() const override { return "badnets"; }
    void stamp(std::uint8_t* image) const override {
        const auto& [h, w, c, classes] = data();
        for (std::int64_t row = h - patch_; row < h; ++row)
            std::fill_n(image + (row * w + w - patch_) * c, patch_ * c, std::uint8_t{255});
    }

  private:
    std::int64_t patch_;  // pixels a side
};

}  // namespace

std::unique_ptr<Attack> make_badnets(const AttackOptions& options, const AttackedData& data) {
    const std::int64_t side = std::min(data.h, data.w);
    std::int64_t patch = options.badnets_patch;
    if (patch == 0) patch = std::max<std::int64_t>(1, (3 * side + 16) / 32);  // rounded
    if (patch < 0 || patch > side)
        throw InputError(fmt::format("a badnets patch of {} pixels does not fit images of {}x{}",
                                     patch, data.h, data.w));
    return std::make_unique<BadNets>(options, data, patch);
}

}  // namespace cnpd::attacks
