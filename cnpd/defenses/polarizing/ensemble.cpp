// The ensemble: r-CNPD's polarizers, mixed with the victim's probabilities. Trains them, or reuses
// those of an r-CNPD run.
#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/defenses/polarizing/r_cnpd.h"
#include "cnpd/store/run_directory.h"
#include "engine/checkpoint.h"
#include "kernels/common/error.h"

namespace cnpd::defenses {
namespace {

class Ensemble : public RCnpd {
  public:
    std::filesystem::path takes_over() const override { return polarizers_; }

    void complete(const Victim& victim, const std::vector<std::string>& given) override {
        if (!polarizers_.empty()) read_trained(given);
        Polarizing::complete(victim, {});
        // Loaded here, so that errors in the other run are found before anything is written.
        if (!polarizers_.empty()) take(victim);
    }

    Outcome run(const Defending& d) override {
        if (polarizers_.empty()) return RCnpd::run(d);
        return std::move(taken_);
    }

  protected:
    void own_fields(settings::Fields& f) override {
        RCnpd::own_fields(f);
        f.add("top_k", top_k_, "Number of most likely classes whose polarizers are mixed")
            .range(1, 100'000)
            .formerly("defense/top_k");
        f.add("polarizers", polarizers_,
              "An r-cnpd run of the same victim whose polarizers are reused instead of trained "
              "again")
            .otherwise("none")
            .formerly("defense/polarizers")
            .since("0.2.0");
    }
    polarizers::PurifiedOptions options() const override {
        polarizers::PurifiedOptions options = RCnpd::options();
        options.routing = polarizers::Routing::ensemble;
        options.top_k = top_k_;
        return options;
    }

  private:
    // Reused polarizers keep their training settings.
    void read_trained(const std::vector<std::string>& given) {
        const store::RunFiles files(polarizers_);
        const std::string path = files.in(store::run_files::config).string();
        const auto config = store::read_config(polarizers_, "defense");
        const settings::Fields trained = settings::fields_of(*this).except({"top_k", "polarizers"});
        std::string method;
        settings::Fields defense;
        defense.section("defense");
        defense.add("method", method, "Defense");
        settings::from_json(defense, config, path, store::version_of(config));
        if (method != "r-cnpd")
            throw FileError(path, fmt::format("is a run of {}", method), "one of r-cnpd");
        settings::Fields present = trained;
        std::vector<std::string> wanted;
        for (const settings::Field& field : present.all()) wanted.push_back(field.text());
        settings::from_json(present, config, path, store::version_of(config));
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            const settings::Field& field = present.all()[i];
            const std::string option = field.option();
            if (std::find(given.begin(), given.end(), option.substr(2)) != given.end() &&
                field.text() != wanted[i])
                throw InputError(fmt::format(
                    "{} {}: the polarizers of {} were trained with {}; with --polarizers only "
                    "--top-k can be changed",
                    option, wanted[i], polarizers_, field.text()));
        }
    }

    void take(const Victim& victim) {
        const store::RunFiles files(polarizers_);
        const auto result = store::read_json(files.in(store::run_files::result));
        const auto seconds = result.find("seconds");
        if (seconds == result.end() || !seconds->is_number())
            throw FileError(files.in(store::run_files::result).string(), "has no \"seconds\"",
                            "the result of a finished run");
        taken_ = {.defended = load(files, victim), .seconds = seconds->get<double>()};
    }

    std::int64_t top_k_ = 3;
    std::string polarizers_;
    Outcome taken_;  // loaded from another run
};

}  // namespace

std::unique_ptr<Defense> make_ensemble() {
    return std::make_unique<Ensemble>();
}

}  // namespace cnpd::defenses
