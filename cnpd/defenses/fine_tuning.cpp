// Fine-tuning of all weights on the clean images, the baseline. Defaults are those of
// BackdoorBench.
#include "cnpd/defenses/defense.h"
#include "engine/autograd.h"
#include "engine/checkpoint.h"

namespace cnpd::defenses {
namespace {

constexpr const char* kTunedModel = "defended.safetensors";

class FineTuned : public Defended {
  public:
    explicit FineTuned(std::unique_ptr<models::Classifier> model) : model_(std::move(model)) {}

    using Predictor::predict;
    evaluation::Predictions predict(const Features& features) const override {
        const engine::NoGrad no_grad;
        return {.victim = {}, .purified = model_->forward(features.cut.z)};
    }
    void save(const store::RunFiles& files) const override {
        engine::save_module(files.out(kTunedModel), *model_);
    }
    std::int64_t parameters_trained() const override { return model_->parameter_count(); }
    models::Classifier& model() { return *model_; }

  private:
    std::unique_ptr<models::Classifier> model_;
};

class FineTuning : public Defense {
  public:
    void fields(settings::Fields& f) override {
        f.section("fine_tuning", "Fine-tuning");
        recipe_.fields(f);
        f.add("augment", augment_, "Random crops and flips").formerly("defense/augment");
    }

    void recommend(Recipe, const DefendedData& data) override {
        recipe_ = {.epochs = data.dataset == "gtsrb" ? 50 : 100,
                   .batch_size = 256,
                   .learning_rate = 0.01,
                   .nesterov = false,
                   .schedule = training::Recipe::Schedule::cosine};
        augment_ = true;
    }

    Outcome run(const Defending& d) override {
        auto tuned = std::make_unique<FineTuned>(d.victim.copy());
        tuned->model().eval();
        training::SupervisedTask task(
            tuned->model(), d.clean,
            {.label = "fine-tuning",
             .recipe = recipe_,
             .draws = augment_ ? d.augmentation : training::TrainingDraws{.seed = d.seed}});
        const double seconds = d.train(task, *tuned);
        return {.defended = std::move(tuned), .seconds = seconds};
    }

    std::unique_ptr<Defended> load(const store::RunFiles& files, const Victim& victim) override {
        auto model = victim.copy();
        engine::load_module(files.in(kTunedModel), *model);
        model->freeze();
        return std::make_unique<FineTuned>(std::move(model));
    }

  private:
    training::Recipe recipe_;
    bool augment_ = true;
};

}  // namespace

std::unique_ptr<Defense> make_fine_tuning() {
    return std::make_unique<FineTuning>();
}

}  // namespace cnpd::defenses
