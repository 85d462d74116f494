// Defenses that put a polarizer into the victim and train nothing else. What they share: the
// bi-level training, its settings and recipes. Each method is a class of its own that says which
// polarizer it trains.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cnpd/defenses/defense.h"
#include "cnpd/polarizers/polarizer.h"
#include "cnpd/polarizers/purified_model.h"
#include "cnpd/polarizers/registry.h"
#include "cnpd/training/bilevel.h"

namespace cnpd::defenses {

class Polarizing : public Defense {
  public:
    void fields(settings::Fields& f) override;
    void recommend(Recipe recipe, const DefendedData& data) final;
    void complete(const Victim& victim, const std::vector<std::string>& given) override;
    Outcome run(const Defending& d) override;
    std::unique_ptr<Defended> load(const store::RunFiles& files, const Victim& victim) final;

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

    training::BilevelSettings& bilevel() { return bilevel_; }
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

    training::BilevelSettings bilevel_;
    bool augment_ = true;
};

}  // namespace cnpd::defenses
