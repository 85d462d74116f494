// Chen et al., "Targeted backdoor attacks on deep learning systems using data poisoning", arXiv
// 1712.05526: a weighted mean of the image and a fixed pattern.
#include <utility>

#include "cnpd/attacks/attack.h"
#include "cnpd/attacks/pattern.h"
#include "datasets/image.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

constexpr const char* kPatternFile = "pattern.png";

class Blended : public LookupAttack {
  public:
    std::string_view name() const override { return "blended"; }
    void fields(settings::Fields& f) override {
        Attack::fields(f);
        f.add("blend_alpha", alpha_, "Weight of the pattern").range(0, 1);
        f.add("blend_pattern", pattern_name_, "noise, smooth or an image file");
        f.add("blend_seed", seed_, "Seed of the noise and smooth patterns");
    }
    // The settings have only the name of an image file; its pixels are stored at the images' size.
    std::vector<KeptFile> kept_files() const override {
        if (is_drawn(pattern_name_)) return {};
        return {{kPatternFile, datasets::encode_png(pattern_, data().h, data().w, data().c)}};
    }

  protected:
    Trigger make_trigger(const ReadKept& kept) override {
        if (!kept || is_drawn(pattern_name_)) {
            pattern_ = blend_pattern(pattern_name_, seed_, data());
        } else {
            if (pattern_name_ != kPatternFile)
                throw FileError("config.json",
                                "blends the file " + engine::in_quotes(pattern_name_),
                                "noise, smooth or the run's own pattern.png");
            pattern_ =
                pattern_from(datasets::decode_image(kept(kPatternFile), kPatternFile), data());
        }
        if (!is_drawn(pattern_name_)) pattern_name_ = kPatternFile;
        Trigger trigger{.levels = all_levels(), .added = {pattern_.begin(), pattern_.end()}};
        for (double& level : trigger.levels) level *= 1 - alpha_;
        for (double& value : trigger.added) value *= alpha_;
        return trigger;
    }

  private:
    double alpha_ = 0.2;
    std::string pattern_name_ = "noise";
    std::uint64_t seed_ = 0;
    std::vector<std::uint8_t> pattern_;  // [H,W,C]
};

}  // namespace

std::unique_ptr<Attack> make_blended() {
    return std::make_unique<Blended>();
}

}  // namespace cnpd::attacks
