// Chen et al., "Targeted backdoor attacks on deep learning systems using data poisoning",
// arXiv 1712.05526: the image and a fixed pattern, mixed.
#include <algorithm>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "cnpd/attacks/pattern.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

class Blended : public Attack {
  public:
    Blended(const AttackOptions& options, const AttackedData& data)
        : Attack(options, data), pattern_(blend_pattern(options, data)) {}
    std::string_view name() const override { return "blended"; }
    std::span<const std::uint8_t> picture() const override {
        if (is_drawn(options().blend_pattern)) return {};
        return pattern_;
    }
    void stamp(std::uint8_t* image) const override {
        const double alpha = options().blend_alpha;
        for (std::size_t i = 0; i < pattern_.size(); ++i)
            image[i] = static_cast<std::uint8_t>(
                std::clamp((1 - alpha) * image[i] + alpha * pattern_[i], 0.0, 255.0));
    }

  private:
    std::vector<std::uint8_t> pattern_;  // [H,W,C]
};

}  // namespace

std::unique_ptr<Attack> make_blended(const AttackOptions& options, const AttackedData& data) {
    if (!(options.blend_alpha >= 0 && options.blend_alpha <= 1))
        throw InputError(fmt::format("blend alpha {} is not between 0 and 1", options.blend_alpha));
    return std::make_unique<Blended>(options, data);
}

}  // namespace cnpd::attacks
