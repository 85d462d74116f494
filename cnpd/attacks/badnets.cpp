// Gu et al., "BadNets: Identifying vulnerabilities in the machine learning model supply chain",
// arXiv 1708.06733: a white square in the lower right corner.
#include <algorithm>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

class BadNets : public LookupAttack {
  public:
    std::string_view name() const override { return "badnets"; }
    void fields(settings::Fields& f) override {
        Attack::fields(f);
        f.add("patch_size", patch_size_, "Side of the white patch")
            .unit("pixels")
            .otherwise("3 at 32x32, in proportion at other sizes")
            .range(0, 4096)
            .formerly("badnets_patch");
    }

  protected:
    // Adding 255 gives white for every grey level, because values are clamped.
    Trigger make_trigger(const ReadKept&) override {
        const auto& [h, w, c, classes, names] = data();
        const std::int64_t shorter = std::min(h, w);
        const std::int64_t side =
            patch_size_ ? patch_size_ : std::max<std::int64_t>(1, (3 * shorter + 16) / 32);
        if (side > shorter)
            throw InputError(
                fmt::format("--patch-size {}: images have {} x {} pixels", side, w, h));
        Trigger trigger{.levels = all_levels(), .added = std::vector<double>(h * w * c, 0.0)};
        for (std::int64_t row = h - side; row < h; ++row)
            std::fill_n(trigger.added.begin() + (row * w + w - side) * c, side * c, 255.0);
        return trigger;
    }

  private:
    std::int64_t patch_size_ = 0;
};

}  // namespace

std::unique_ptr<Attack> make_badnets() {
    return std::make_unique<BadNets>();
}

}  // namespace cnpd::attacks
