// Defenses that put a polarizer into the victim and train nothing else. What they share: the
// bi-level training, its settings and recipes. Each method is a class of its own that says which
// polarizer it trains.
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
                                                     std::uint64_t seed) const {
        return make(place, seed);
    }

  protected:
    // Settings beside those of bilevel().
    virtual void own_fields(settings::Fields&) {}
    // The tuned recipe, where it differs from the common one. Victims of many classes (more than
    // kManyClasses) have had their common changes by then.
    virtual void tune(bool many_classes) = 0;
    // The published one, likewise.
    virtual void publish() {}
    // The untrained polarizer.
    virtual std::unique_ptr<polarizers::Polarizer> make(const polarizers::PolarizerPlace& place,
                                                        std::uint64_t seed) const = 0;
    // How victim and polarizer are put together.
    virtual polarizers::PurifiedOptions options() const {
        return {.insertion_point = bilevel_.insertion_point};
    }

    BilevelSettings& bilevel() { return bilevel_; }
    std::unique_ptr<polarizers::Polarizer> make(const Victim& victim, std::uint64_t seed) const;
    // A polarizer that is trained, with its victim.
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

// A method and some of its options, {"experts", "3"}: benchmarks and tests make polarizers of them.
struct PolarizerKind {
    std::string method = "r-cnpd";
    std::vector<std::pair<std::string, std::string>> options{};
};
// The method's polarizer before training. Throws InputError for a method that is unknown or has no
// polarizer, and for an option that the method does not have.
std::unique_ptr<polarizers::Polarizer> untrained_polarizer(const PolarizerKind& kind,
                                                           const polarizers::PolarizerPlace& place,
                                                           std::uint64_t seed);
// The methods with a polarizer of their own (the ensemble has r-CNPD's).
std::vector<std::string> methods_with_polarizers();

}  // namespace cnpd::defenses
