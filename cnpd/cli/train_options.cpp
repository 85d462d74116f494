#include "cnpd/cli/train_options.h"

#include <fmt/format.h>

#include "cnpd/attacks/attack.h"
#include "cnpd/cli/command.h"
#include "cnpd/training/names.h"
#include "datasets/dataset.h"
#include "models/classifier.h"

namespace cnpd::cli {
namespace {

// "synthetic: drawn traffic signs; cifar10: ..."
template <class Infos>
std::string described(const char* what, const Infos& infos) {
    std::string text = what;
    for (const auto& info : infos) text += fmt::format("\n  {}: {}", info.name, info.description);
    return text;
}

}  // namespace

void TrainOptions::add_to(CLI::App& app) {
    add_data_options(app);
    app.add_option("--model", settings_.model, described("Model:", models::registry()))
        ->capture_default_str();
    app.add_option("--width", settings_.width, "Channels of the model's first stage")
        ->capture_default_str();
    app.add_option(
        "--head", settings_.head,
        "VGGs: torchvision (pooling to 7x7, two hidden layers with dropout; the default) "
        "or cifar (global pooling, one linear layer)");
    add_attack_options(app);
    add_recipe_options(app);
}

void TrainOptions::add_data_options(CLI::App& app) {
    app.add_option("--dataset", settings_.data.name, described("Data set:", datasets::registry()))
        ->capture_default_str();
    app.add_option(
        "--data", settings_.data.directory,
        "Directory with the data set's files or with its official archives, or one archive "
        "(.zip, .tar.gz) with all of it");
    app.add_option("--train-limit", settings_.data.train_limit,
                   "Use only so many training images, drawn at random (0: all)");
    app.add_option("--test-limit", settings_.data.test_limit,
                   "Use only so many test images, drawn at random (0: all)");
    app.add_option("--image-size", settings_.data.image_size,
                   "Resize the images of gtsrb, tiny-imagenet and folder to so many pixels a side "
                   "(0: the set's own size)");
}

void TrainOptions::add_attack_options(CLI::App& app) {
    attacks::AttackOptions& a = settings_.attack_options;
    app.add_option("--attack", settings_.attack, described("Attack:", attacks::registry()))
        ->capture_default_str();
    app.add_option("--poison-ratio", a.poison_ratio, "Share of the training set that is poisoned")
        ->capture_default_str();
    app.add_option("--target", a.target, "Class that the trigger is to cause (all-to-one)")
        ->capture_default_str();
    app.add_option("--attack-mode", attack_mode_,
                   "all-to-one, or all-to-all: class y becomes y + 1")
        ->capture_default_str();
    app.add_option("--patch-size", a.badnets_patch,
                   "BadNets: pixels a side (0: 3 at 32x32, in proportion elsewhere)");
    app.add_option("--blend-alpha", a.blend_alpha, "Blended: share of the pattern")
        ->capture_default_str();
    app.add_option("--blend-pattern", a.blend_pattern, "Blended: noise, smooth or an image file")
        ->capture_default_str();
}

void TrainOptions::add_recipe_options(CLI::App& app) {
    app.add_option("--recipe", recipe_,
                   "Training:\n  fast: SGD lr 0.1 Nesterov, one-cycle, 10 epochs\n  backdoorbench: "
                   "SGD lr 0.01, cosine, 100 epochs")
        ->capture_default_str();
    app.add_option("--epochs", epochs_, "Epochs (default: the recipe's)");
    app.add_option("--batch-size", batch_size_, "Images in a batch (default: the recipe's)");
    app.add_option("--lr", learning_rate_, "Learning rate (default: the recipe's)");
    app.add_flag("--no-augment", no_augment_, "No random crops and flips");
    app.add_option("--eval-every", settings_.evaluate_every,
                   "Measure on the test set every so many epochs (0: only at the end)")
        ->capture_default_str();
    add_seed(app, settings_.seed);
}

training::VictimSettings TrainOptions::settings() const {
    training::VictimSettings settings = settings_;
    settings.head = models::head_of(settings.model, settings.head);
    settings.recipe = training::recipe_from_name(recipe_);
    if (epochs_) settings.recipe.epochs = *epochs_;
    if (batch_size_) settings.recipe.batch_size = *batch_size_;
    if (learning_rate_) settings.recipe.learning_rate = *learning_rate_;
    settings.augment = !no_augment_;
    settings.attack_options.mode =
        training::value_named<attacks::LabelMode>("attack mode", attack_mode_);
    training::validate(settings);
    return settings;
}

}  // namespace cnpd::cli
