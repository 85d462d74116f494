#include "cnpd/defenses/fine_tuning.h"

#include <nlohmann/json.hpp>

#include "cnpd/training/scores.h"
#include "cnpd/training/victim.h"
#include "engine/checkpoint.h"

namespace cnpd::defenses {
namespace {

class FineTuning : public Defense {
  public:
    nlohmann::ordered_json run(const DefenseContext& c) override {
        const metrics::Scores before = training::measure(c.tests, c.victim);
        training::SupervisedTask task(c.victim, c.clean, &c.tests,
                                      {.label = "fine-tuning",
                                       .recipe = c.settings.fine_tuning,
                                       .draws = c.draws,
                                       .evaluate_every = c.settings.bilevel.evaluate_every});
        const double seconds = training::run_training(task, c.directory, c.loop);
        engine::save_module(c.directory.file(training::run_files::model), c.victim);
        const metrics::Scores after = training::measure(c.tests, c.victim);
        nlohmann::ordered_json result = training::to_json(after);
        training::add_comparison(result, before, after);
        training::add_costs(result, seconds, c.victim.parameter_count());
        return result;
    }
};

}  // namespace

std::unique_ptr<Defense> make_fine_tuning(training::DefenseSettings&, const models::Classifier&,
                                          const training::InputInfo&, engine::Device) {
    return std::make_unique<FineTuning>();
}

}  // namespace cnpd::defenses
