// Chen et al., "Targeted backdoor attacks on deep learning systems using data poisoning",
// arXiv 1712.05526: the image and a fixed pattern, mixed.
#include <utility>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "cnpd/attacks/pattern.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

Trigger mixture(double alpha, const std::vector<std::uint8_t>& pattern) {
    Trigger trigger{.levels = all_levels(), .added = {pattern.begin(), pattern.end()}};
    for (double& level : trigger.levels) level *= 1 - alpha;
    for (double& value : trigger.added) value *= alpha;
    return trigger;
}

class Blended : public Attack {
  public:
    Blended(const AttackOptions& options, const AttackedData& data,
            std::vector<std::uint8_t> pattern)
        : Attack(options, data, mixture(options.blend_alpha, pattern)),
          pattern_(std::move(pattern)) {}
    std::string_view name() const override { return "blended"; }
    std::span<const std::uint8_t> picture() const override {
        if (is_drawn(options().blend_pattern)) return {};
        return pattern_;
    }

  private:
    std::vector<std::uint8_t> pattern_;  // [H,W,C]
};

}  // namespace

std::unique_ptr<Attack> make_blended(const AttackOptions& options, const AttackedData& data) {
    if (!(options.blend_alpha >= 0 && options.blend_alpha <= 1))
        throw InputError(fmt::format("blend alpha {} is not between 0 and 1", options.blend_alpha));
    return std::make_unique<Blended>(options, data, blend_pattern(options, data));
}

}  // namespace cnpd::attacks
