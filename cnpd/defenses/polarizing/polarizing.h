// Base class of the defenses that insert a polarizer into the victim and train only it: bi-level
// training, its settings and recipes. Each method is a subclass that creates its polarizer.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cnpd/defenses/defense.h"
#include "cnpd/defenses/polarizing/bilevel.h"
#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "cnpd/defenses/polarizing/polarizers/purified_model.h"

namespace cnpd::defenses {

class Polarizing : public Defense {
  public:
    void fields(settings::Fields& f) override;
    void recommend(Recipe recipe, const DefendedData& data) final;
    void complete(const Victim& victim, const std::vector<std::string>& given) override;
    Outcome run(const Defending& d) override;
    std::unique_ptr<Defended> load(const store::RunFiles& files, const Victim& victim) final;
    // The polarizer before training.
    std::unique_ptr<polarizers::Polarizer> untrained(const polarizers::PolarizerPlace& place,
                                                     std::uint64_t seed) const;

  protected:
    // Settings in addition to those of bilevel().
    virtual void own_fields(settings::Fields&) {}
    // Changes the common tuned recipe for this method. The common changes for more than
    // kManyClasses classes have been applied before.
    virtual void tune(bool many_classes) = 0;
    // The same for the published recipe.
    virtual void publish() {}
    // The untrained polarizer.
    virtual std::unique_ptr<polarizers::Polarizer> make(const polarizers::PolarizerPlace& place,
                                                        std::uint64_t seed) const = 0;
    // Routing of the purified model.
    virtual polarizers::PurifiedOptions options() const {
        return {.insertion_point = bilevel_.insertion_point};
    }

    BilevelSettings& bilevel() { return bilevel_; }
    std::unique_ptr<polarizers::Polarizer> make(const Victim& victim, std::uint64_t seed) const;
    // The victim with a trained polarizer.
    std::unique_ptr<Defended> purified(std::unique_ptr<polarizers::Polarizer> polarizer,
                                       const Victim& victim) const;

    static constexpr std::int64_t kManyClasses = 20;

  private:
    void training_fields(settings::Fields& f);
    void adversary_fields(settings::Fields& f);
    void loss_fields(settings::Fields& f);
    void use_published(const DefendedData& data);
    void check_targets(const Victim& victim) const;

    BilevelSettings bilevel_;
    bool augment_ = true;
};

// A method and options such as {"experts", "3"}, for benchmarks and tests.
struct PolarizerKind {
    std::string method = "r-cnpd";
    std::vector<std::pair<std::string, std::string>> options{};
};
// The method's polarizer before training. Throws InputError for an unknown method, a method without
// a polarizer, and an unknown option.
std::unique_ptr<polarizers::Polarizer> untrained_polarizer(const PolarizerKind& kind,
                                                           const polarizers::PolarizerPlace& place,
                                                           std::uint64_t seed);
// The methods with their own polarizer (the ensemble uses r-CNPD's).
std::vector<std::string> methods_with_polarizers();

}  // namespace cnpd::defenses
