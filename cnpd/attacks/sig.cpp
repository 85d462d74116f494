// Barni et al., "A new backdoor attack in CNNs by training set corruption without label poisoning",
// ICIP 2019: a horizontal sinusoid added to images of the target class, whose labels are true.
#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "kernels/common/error.h"

namespace cnpd::attacks {
namespace {

class Sig : public Attack {
  public:
    Sig(const AttackOptions& options, const AttackedData& data)
        : Attack(options, data), wave_(data.w) {
        const auto width = static_cast<double>(data.w);
        for (std::int64_t column = 0; column < data.w; ++column)
            wave_[column] = options.sig_amplitude *
                            std::sin(2 * std::numbers::pi * static_cast<double>(column) *
                                     options.sig_frequency / width);
    }
    std::string_view name() const override { return "sig"; }
    bool clean_label() const override { return true; }
    void stamp(std::uint8_t* image) const override {
        const auto& [h, w, c, classes] = data();
        for (std::int64_t i = 0; i < h * w * c; ++i)
            image[i] =
                static_cast<std::uint8_t>(std::clamp(image[i] + wave_[i / c % w], 0.0, 255.0));
    }

  private:
    std::vector<double> wave_;  // [W], what is added to a column, in grey levels
};

}  // namespace

std::unique_ptr<Attack> make_sig(const AttackOptions& options, const AttackedData& data) {
    if (!(options.sig_amplitude >= 0 && options.sig_amplitude <= 255))
        throw InputError(
            fmt::format("sig amplitude {} is not between 0 and 255", options.sig_amplitude));
    if (!std::isfinite(options.sig_frequency))
        throw InputError(fmt::format("sig frequency {} is not a number", options.sig_frequency));
    return std::make_unique<Sig>(options, data);
}

}  // namespace cnpd::attacks
