// Barni et al., "A new backdoor attack in CNNs by training set corruption without label poisoning",
// ICIP 2019: a horizontal sinusoid added to images of the target class, whose labels are true.
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

class Sig : public Attack {
  public:
    using Attack::Attack;
    std::string_view name() const override { return "sig"; }
    bool clean_label() const override { return true; }
};

// The same in every row.
Trigger wave(const AttackOptions& options, const AttackedData& data) {
    const auto& [h, w, c, classes] = data;
    Trigger trigger{.levels = all_levels(), .added = std::vector<double>(h * w * c)};
    for (std::int64_t i = 0; i < h * w * c; ++i)
        trigger.added[i] =
            options.sig_amplitude * std::sin(2 * std::numbers::pi * static_cast<double>(i / c % w) *
                                             options.sig_frequency / static_cast<double>(w));
    return trigger;
}

}  // namespace

std::unique_ptr<Attack> make_sig(const AttackOptions& options, const AttackedData& data) {
    if (!(options.sig_amplitude >= 0 && options.sig_amplitude <= 255))
        throw InputError(
            fmt::format("sig amplitude {} is not between 0 and 255", options.sig_amplitude));
    if (!std::isfinite(options.sig_frequency))
        throw InputError(fmt::format("sig frequency {} is not a number", options.sig_frequency));
    return std::make_unique<Sig>(options, data, wave(options, data));
}

}  // namespace cnpd::attacks
