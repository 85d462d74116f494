// Barni et al., "A new backdoor attack in CNNs by training set corruption without label poisoning",
// ICIP 2019: a horizontal sinusoid added to images of the target class, with unchanged labels.
#include <cmath>
#include <numbers>

#include "cnpd/attacks/attack.h"

namespace cnpd::attacks {
namespace {

class Sig : public LookupAttack {
  public:
    std::string_view name() const override { return "sig"; }
    void fields(settings::Fields& f) override {
        Attack::fields(f);
        f.add("sig_amplitude", amplitude_, "Amplitude of the sinusoid")
            .unit("grey levels")
            .range(0, 255);
        f.add("sig_frequency", frequency_, "Periods in an image's width").range(-1e6, 1e6);
    }
    bool clean_label() const override { return true; }

  protected:
    // All rows are equal.
    Trigger make_trigger(const ReadKept&) override {
        const auto& [h, w, c, classes, names] = data();
        Trigger trigger{.levels = all_levels(), .added = std::vector<double>(h * w * c)};
        for (std::int64_t i = 0; i < h * w * c; ++i)
            trigger.added[i] =
                amplitude_ * std::sin(2 * std::numbers::pi * static_cast<double>(i / c % w) *
                                      frequency_ / static_cast<double>(w));
        return trigger;
    }

  private:
    double amplitude_ = 40, frequency_ = 6;
};

}  // namespace

std::unique_ptr<Attack> make_sig() {
    return std::make_unique<Sig>();
}

}  // namespace cnpd::attacks
