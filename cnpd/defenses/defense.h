// The interface of defenses. A defense gets a victim and the defender's clean images; it has no
// access to test sets, the attack or run directories. The caller measures it. A new defense is one
// file, including its settings, and one line in registry.cpp (docs/adding-a-defense.md).
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

// Source of the default values.
//   tuned chosen on development victims (docs/tuning.md) published from the method's paper
enum class Recipe { tuned, published };

// Properties of the data that recommended settings depend on.
struct DefendedData {
    std::string dataset;  // "cifar10"
    std::int64_t classes = 0;
    std::int64_t h = 0, w = 0;  // of its images, in pixels
};

// A defended victim. Keeps a reference to the victim, which must outlive it.
class Defended : public evaluation::Predictor {
  public:
    // Writes the files that Defense::load() reads in addition to the victim's model.safetensors.
    virtual void save(const store::RunFiles& files) const = 0;
    virtual std::int64_t parameters_trained() const = 0;
    // For the pictures of the report: victim and polarizer, or null for other defenses.
    virtual const polarizers::PurifiedModel* purified() const { return nullptr; }
};

// The victim and its context.
struct Victim {
    const models::Classifier& model;  // frozen; must not be changed
    const data::InputInfo& input;
    engine::Device device;
    // Returns a trainable copy.
    std::function<std::unique_ptr<models::Classifier>()> copy;
};

// Input of a defense.
struct Defending {
    Victim victim;
    const datasets::BatchSource& clean;     // the defender's images
    const datasets::BatchSource* held_out;  // further clean images, for measurement; null: none
    training::TrainingDraws augmentation;   // for the data set
    std::uint64_t seed = 0;
    // Trains with progress, log, checkpoints and --resume; measures `model` between epochs. Returns
    // the seconds spent.
    std::function<double(training::TrainingTask& task, const evaluation::Predictor& model)> train;
    // Returns the backdoor label of each class, which only the attacker knows. For the oracles of
    // ablations; result.json records that it was called.
    std::function<std::vector<std::int32_t>()> ask_attacker;
};

struct Outcome {
    std::unique_ptr<Defended> defended;
    double seconds = 0;  // of training
};

class Defense {
  public:
    virtual ~Defense() = default;

    // Declares the settings of this defense.
    virtual void fields(settings::Fields& f) = 0;
    // Sets them to a recipe's values for this data.
    virtual void recommend(Recipe recipe, const DefendedData& data) = 0;
    // Derives settings that depend on others or on the victim. `given` lists the options that the
    // user gave, without dashes. Throws InputError and FileError for invalid combinations.
    virtual void complete(const Victim& victim, const std::vector<std::string>& given) {
        (void)victim, (void)given;
    }
    // The run of a defense whose polarizers are reused; it must have the same victim, and its clean
    // images are used. Empty for none.
    virtual std::filesystem::path takes_over() const { return {}; }

    virtual Outcome run(const Defending& defending) = 0;
    // Loads the result of run() from its files. Throws FileError.
    virtual std::unique_ptr<Defended> load(const store::RunFiles& files, const Victim& victim) = 0;
};

// All defenses; each is created with the settings' initial values.
const settings::Registry<Defense>& registry();

}  // namespace cnpd::defenses

template <>
struct cnpd::settings::Names<cnpd::defenses::Recipe> {
    static constexpr std::pair<defenses::Recipe, const char*> all[] = {
        {defenses::Recipe::tuned, "tuned"}, {defenses::Recipe::published, "published"}};
};
