// The interface of defenses. A defense is given a victim, the defender's clean images and nothing
// else: it never sees a test set, the attack or a run directory. The caller measures. A new defense
// is one file with its settings in it, and one line in registry.cpp (docs/adding-a-defense.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cnpd/data/input_info.h"
#include "cnpd/evaluation/predictor.h"
#include "cnpd/settings/fields.h"
#include "cnpd/settings/registry.h"
#include "cnpd/store/run_files.h"
#include "cnpd/training/loop.h"
#include "cnpd/training/supervised.h"
#include "datasets/batches.h"
#include "models/classifier.h"

namespace cnpd::polarizers {
class PurifiedModel;
}

namespace cnpd::defenses {

// Where the values come from that no option changed.
//   tuned      chosen on development victims (docs/tuning.md)
//   published  those of the method's paper
enum class Recipe { tuned, published };

// What recommended settings depend on.
struct DefendedData {
    std::string dataset;  // "cifar10"
    std::int64_t classes = 0;
    std::int64_t h = 0, w = 0;  // of its images, in pixels
};

// A victim after its defense. Refers to the victim, which must outlive it.
class Defended : public evaluation::Predictor {
  public:
    // Writes what Defense::load() reads, beside the victim's model.safetensors.
    virtual void save(const store::RunFiles& files) const = 0;
    virtual std::int64_t parameters_trained() const = 0;
    // Victim and polarizer, if it consists of these; for the pictures of the report.
    virtual const polarizers::PurifiedModel* purified() const { return nullptr; }
};

// The victim and its surroundings.
struct Victim {
    const models::Classifier& model;  // frozen; not to be changed
    const data::InputInfo& input;
    engine::Device device;
    // A copy of it that can be trained.
    std::function<std::unique_ptr<models::Classifier>()> copy;
};

// What a defense has to work with.
struct Defending {
    Victim victim;
    const datasets::BatchSource& clean;     // the defender's images
    const datasets::BatchSource* held_out;  // more of them, to measure; null: none
    training::TrainingDraws augmentation;   // that suits the data set
    std::uint64_t seed = 0;
    // Trains, with progress, log, checkpoints and --resume; `model` is measured between epochs.
    // Returns the seconds that it took.
    std::function<double(training::TrainingTask& task, const evaluation::Predictor& model)> train;
    // The backdoor label of each class: what only the attacker knows. For the oracles of ablations;
    // the result says that it was asked.
    std::function<std::vector<std::int32_t>()> ask_attacker;
};

struct Outcome {
    std::unique_ptr<Defended> defended;
    double seconds = 0;  // of training
};

class Defense {
  public:
    virtual ~Defense() = default;

    // Declares the settings that this defense has.
    virtual void fields(settings::Fields& f) = 0;
    // Sets them to a recipe's values for such data.
    virtual void recommend(Recipe recipe, const DefendedData& data) = 0;
    // Fills in what follows from other settings and from the victim; `given` are the options that
    // the user gave, as --help writes them without dashes. Throws InputError and FileError for what
    // does not go together.
    virtual void complete(const Victim& victim, const std::vector<std::string>& given) {
        (void)victim, (void)given;
    }
    // The run of a defense that this one takes over, whose clean images and victim are then the
    // same; empty for none.
    virtual std::filesystem::path takes_over() const { return {}; }

    virtual Outcome run(const Defending& defending) = 0;
    // What run() gave, read back from its files. Throws FileError.
    virtual std::unique_ptr<Defended> load(const store::RunFiles& files, const Victim& victim) = 0;
};

// Makes each known defense, with the settings' initial values.
const settings::Registry<Defense>& registry();

}  // namespace cnpd::defenses

template <>
struct cnpd::settings::Names<cnpd::defenses::Recipe> {
    static constexpr std::pair<defenses::Recipe, const char*> all[] = {
        {defenses::Recipe::tuned, "tuned"}, {defenses::Recipe::published, "published"}};
};
