// cnpd defend: takes a backdoor out.
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/training/names.h"

namespace cnpd::cli {
namespace {

std::string described_methods() {
    std::string text = "Defense:";
    for (const auto& method : training::methods())
        text += fmt::format("\n  {}: {}", method.name, method.description);
    return text;
}

class Defend : public Command {
  public:
    void add_to(CLI::App& app);
    void run() override;

  private:
    void add_polarizer_options(CLI::App& app);
    training::DefenseSettings settings() const;

    std::string run_, data_;
    training::DefenseSettings settings_;
    std::optional<std::int64_t> epochs_, batch_size_;
    std::optional<double> learning_rate_;
    std::string pgd_gradient_ = "normalised", pgd_norm_ = "l2", pgd_through_ = "both",
                batch_norm_ = "frozen", strategy_ = "random", structure_ = "conv-bn",
                embedding_ = "concat";
    std::optional<float> pgd_step_size_;
    bool no_augment_ = false, constant_rate_ = false;
    OutputOptions output_;
};

void Defend::add_to(CLI::App& app) {
    app.add_option("--run", run_, "The victim's run directory")->required();
    app.add_option("--data", data_, "Directory of the data set, if it is not where it was");
    app.add_option("--method", settings_.method, described_methods())->capture_default_str();
    app.add_option("--clean-ratio", settings_.clean_ratio,
                   "Share of the training set that the defender has clean")
        ->capture_default_str();
    app.add_option("--hold-out", settings_.hold_out,
                   "Polarizers: share of the clean images to measure instead of train on, for "
                   "choosing settings without test data");
    app.add_option("--epochs", epochs_, "Epochs (default: 20, ft 100)");
    app.add_option("--batch-size", batch_size_, "Images in a batch (default: 128, ft 256)");
    app.add_option("--lr", learning_rate_, "Learning rate (default: 0.01)");
    app.add_flag("--no-augment", no_augment_, "No random crops and flips");
    app.add_option("--eval-every", settings_.bilevel.evaluate_every,
                   "Measure on the test set every so many epochs (0: only at the end)")
        ->capture_default_str();
    add_seed(app, settings_.seed);
    add_polarizer_options(app);
    output_.add_to(app, "");
    common.add_to(app);
    app.footer("Example:\n  cnpd defend --run runs/badnets --method r-cnpd");
}

void Defend::add_polarizer_options(CLI::App& app) {
    training::BilevelSettings& b = settings_.bilevel;
    const std::string group = "Polarizer";
    app.add_option("--insertion-point", b.insertion_point,
                   "Layer whose input is polarized (default: the model's, layer4.1.conv1)")
        ->group(group);
    app.add_option("--warmup-epochs", b.warmup_epochs, "Epochs of clean cross-entropy first")
        ->capture_default_str()
        ->group(group);
    app.add_option("--polarizer-bn", batch_norm_,
                   "Statistics of batch norm while it learns: frozen or eval (of the clean images, "
                   "measured once) or train (of each batch)")
        ->capture_default_str()
        ->group(group);
    app.add_option("--clip-norm", b.clip_norm, "Norm that each class's gradient is clipped to")
        ->capture_default_str()
        ->group(group);
    app.add_option("--pgd-steps", b.pgd_steps, "Steps of the inner maximisation")
        ->capture_default_str()
        ->group(group);
    app.add_option("--pgd-step-size", pgd_step_size_,
                   "Its step, in pixels of [0,1] (default: radius / steps; with sign 0.1)")
        ->group(group);
    app.add_option("--pgd-radius", b.pgd.radius, "Radius of the ball around an image")
        ->capture_default_str()
        ->group(group);
    app.add_option("--pgd-norm", pgd_norm_, "l2, linf or l1")->capture_default_str()->group(group);
    app.add_option(
           "--pgd-gradient", pgd_gradient_,
           "What a step follows: the gradient itself (raw), its sign, or normalised to length 1")
        ->capture_default_str()
        ->group(group);
    app.add_option("--pgd-through", pgd_through_,
                   "Whose gradient it follows: plain (the victim's), composite (the purified "
                   "model's) or both")
        ->capture_default_str()
        ->group(group);
    app.add_option("--lambda-clean", b.weights.clean, "Weight of the clean cross-entropy")
        ->capture_default_str()
        ->group(group);
    app.add_option("--lambda-undo", b.weights.undo, "Weight of undoing the push")
        ->capture_default_str()
        ->group(group);
    app.add_option("--lambda-strongest", b.weights.strongest,
                   "Weight against the strongest wrong class")
        ->capture_default_str()
        ->group(group);
    app.add_option("--lambda-target", b.weights.target, "Weight against the target class")
        ->capture_default_str()
        ->group(group);
    app.add_flag("--constant-lr", constant_rate_, "A constant learning rate instead of a cosine")
        ->group(group);
    app.add_option("--strategy", strategy_,
                   "The class that an adversarial example is pushed to: random, second (the most "
                   "likely other one), target (the attack's, an oracle), wrong (another fixed "
                   "one), or untarget (none: away from its own)")
        ->capture_default_str()
        ->group(group);
    app.add_option("--structure", structure_,
                   "npd, r-cnpd: conv-bn, conv, bn or conv-bn-conv-bn; what is left out stays the "
                   "identity")
        ->capture_default_str()
        ->group(group);
    app.add_option("--experts", settings_.polarizer.experts,
                   "a-cnpd: shared experts (0: 8 for up to 10 classes, else 16)")
        ->capture_default_str()
        ->group(group);
    app.add_option("--embedding-width", settings_.polarizer.embedding_width,
                   "a-cnpd, e-cnpd: numbers in a query, in a class's vector")
        ->capture_default_str()
        ->group(group);
    app.add_option("--embedding", embedding_,
                   "e-cnpd: concat (the vector as more channels) or film (it scales and shifts)")
        ->capture_default_str()
        ->group(group);
    app.add_option("--top-k", settings_.top_k, "Ensemble: the most likely classes that are mixed")
        ->capture_default_str()
        ->group(group);
}

training::DefenseSettings Defend::settings() const {
    training::DefenseSettings settings = settings_;
    settings.recipe = training::recipe_from_name("fine-tuning");
    training::BilevelSettings& b = settings.bilevel;
    if (epochs_) settings.recipe.epochs = b.epochs = *epochs_;
    if (batch_size_) settings.recipe.batch_size = b.batch_size = *batch_size_;
    if (learning_rate_) settings.recipe.learning_rate = b.learning_rate = *learning_rate_;
    using training::value_named;
    b.pgd.gradient = value_named<ops::PgdGradient>("pgd-gradient", pgd_gradient_);
    b.pgd.norm = value_named<ops::PgdNorm>("pgd-norm", pgd_norm_);
    b.batch_norm = value_named<polarizers::BatchNormMode>("polarizer-bn", batch_norm_);
    b.pgd_through = value_named<training::PgdThrough>("pgd-through", pgd_through_);
    b.strategy = value_named<training::Strategy>("strategy", strategy_);
    settings.polarizer.structure = value_named<polarizers::Structure>("structure", structure_);
    settings.polarizer.embedding = value_named<polarizers::Embedding>("embedding", embedding_);
    const float steps_to_the_radius = b.pgd.radius / static_cast<float>(b.pgd_steps);
    b.pgd.step = pgd_step_size_.value_or(
        b.pgd.gradient == ops::PgdGradient::sign ? 0.1f : steps_to_the_radius);
    b.cosine = !constant_rate_;
    settings.augment = !no_augment_;
    training::validate(settings);
    return settings;
}

void Defend::run() {
    const training::Compute compute = common.apply();
    const training::DefenseSettings checked = settings();
    if (output_.out.empty()) output_.out = (std::filesystem::path(run_) / checked.method).string();
    const auto result = training::run_defend(run_, data_, checked, output_.run_options(compute));
    if (common.json) {
        print_results({{checked.method, result}}, true);
        return;
    }
    nlohmann::ordered_json before = {{"n_clean", result["n_clean"]},
                                     {"n_poisoned", result["n_poisoned"]}};
    for (const std::string key : {"acc", "asr", "r_acc"}) before[key] = result[key + "_before"];
    print_results({{"victim", before}, {checked.method, result}}, false);
}

}  // namespace

std::unique_ptr<Command> add_defend(CLI::App& program) {
    auto command = std::make_unique<Defend>();
    command->add_to(*program.add_subcommand(
        "defend", "Take the backdoor out of a victim, with a few clean images"));
    return command;
}

}  // namespace cnpd::cli
