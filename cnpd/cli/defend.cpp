// cnpd defend: takes a backdoor out.
#include <filesystem>
#include <functional>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/defenses/registry.h"
#include "cnpd/training/names.h"
#include "cnpd/training/recipes.h"

namespace cnpd::cli {
namespace {

std::string described_methods() {
    std::string text = "Defense:";
    for (const auto& method : defenses::registry())
        text += fmt::format("\n  {}: {}", method.name, method.description);
    return text;
}

class Defend : public Command {
  public:
    void add_to(CLI::App& app);
    void run() override;

  private:
    using Settings = training::DefenseSettings;

    void add_training_options(CLI::App& app);
    void add_polarizer_options(CLI::App& app);
    void add_inner_loop_options(CLI::App& app);
    void add_loss_options(CLI::App& app);
    void apply_options(Settings& settings) const;
    Settings settings() const;
    Settings taken_over() const;

    // An option that changes a value of the recipe, whichever that turns out to be.
    template <class T, class Change>
    CLI::Option* add_change(CLI::App& app, const std::string& name, const std::string& text,
                            Change change) {
        return app.add_option_function<T>(
            name,
            [this, change](const T& value) {
                changes_.emplace_back([change, value](Settings& s) { change(s, value); });
            },
            text);
    }
    // One whose value is a name of an enumeration.
    template <class Enum, class Member>
    CLI::Option* add_choice(CLI::App& app, const std::string& name, const std::string& text,
                            Member member) {
        return add_change<std::string>(app, "--" + name, text,
                                       [name, member](Settings& s, const std::string& value) {
                                           member(s) = training::value_named<Enum>(name, value);
                                       });
    }

    std::string run_, data_, method_ = "r-cnpd", recipe_ = "tuned", polarizers_;
    std::vector<std::function<void(Settings&)>> changes_;
    std::uint64_t seed_ = 0;
    CLI::Option* given_seed_ = nullptr;
    bool no_augment_ = false, constant_rate_ = false;
    OutputOptions output_;
};

void Defend::add_to(CLI::App& app) {
    app.add_option("--run", run_, "The victim's run directory")->required();
    app.add_option("--data", data_, "Directory of the data set, if it is not where it was");
    app.add_option("--method", method_, described_methods())->capture_default_str();
    app.add_option("--recipe", recipe_,
                   "Hyper-parameters for the method and the data set, which options change:\n"
                   "  tuned: chosen on victims made for that (docs/tuning.md)\n"
                   "  published: NPD's; 5 + 50 epochs, constant rate, two sign steps against the "
                   "victim, fresh batch norm, no augmentation, no clipping (r-cnpd can diverge)")
        ->capture_default_str();
    add_training_options(app);
    add_polarizer_options(app);
    add_inner_loop_options(app);
    add_loss_options(app);
    output_.add_to(app, "");
    common.add_to(app);
    app.footer(
        "config.json of the run holds every value that was used.\n"
        "Example:\n  cnpd defend --run runs/badnets --method r-cnpd");
}

void Defend::add_training_options(CLI::App& app) {
    add_change<double>(app, "--clean-ratio",
                       "Share of the training set that the defender has clean (default: 0.05)",
                       [](Settings& s, double ratio) { s.clean_ratio = ratio; });
    add_change<double>(app, "--hold-out",
                       "Polarizers: share of the clean images to measure instead of train on, for "
                       "choosing settings without test data",
                       [](Settings& s, double share) { s.hold_out = share; });
    add_change<std::int64_t>(
        app, "--epochs",
        "Epochs (default: 20, a-cnpd and e-cnpd 30, for more than 20 classes 40; ft 100, on gtsrb "
        "50)",
        [](Settings& s, std::int64_t epochs) { s.fine_tuning.epochs = s.bilevel.epochs = epochs; });
    add_change<std::int64_t>(app, "--batch-size", "Images in a batch (default: 128, ft 256)",
                             [](Settings& s, std::int64_t images) {
                                 s.fine_tuning.batch_size = s.bilevel.batch_size = images;
                             });
    add_change<double>(
        app, "--lr",
        "Learning rate (default: 0.01, a-cnpd and e-cnpd 0.03; for more than 20 classes "
        "r-cnpd 0.03, npd and e-cnpd 0.1, a-cnpd 0.5)",
        [](Settings& s, double rate) {
            s.fine_tuning.learning_rate = s.bilevel.learning_rate = rate;
        });
    app.add_flag("--no-augment", no_augment_, "No random crops and flips");
    add_change<std::int64_t>(
        app, "--eval-every",
        "Measure on the test set every so many epochs (default: 1; 0: only at the end)",
        [](Settings& s, std::int64_t epochs) { s.bilevel.evaluate_every = epochs; });
    given_seed_ = add_seed(app, seed_);
}

void Defend::add_polarizer_options(CLI::App& app) {
    const auto grouped = [](CLI::Option* option) { option->group("Polarizer"); };
    grouped(add_change<std::string>(
        app, "--insertion-point",
        "Layer whose input is polarized (default: the model's; cnpd info --model M lists them)",
        [](Settings& s, const std::string& point) { s.bilevel.insertion_point = point; }));
    grouped(add_change<std::int64_t>(
        app, "--warmup-epochs", "Epochs of clean cross-entropy first (default: 2)",
        [](Settings& s, std::int64_t epochs) { s.bilevel.warmup_epochs = epochs; }));
    grouped(add_choice<polarizers::BatchNormMode>(
        app, "polarizer-bn",
        "Statistics of batch norm while it learns: frozen or eval (of the clean images, measured "
        "once; the default) or train (of each batch)",
        [](Settings & s) -> auto& { return s.bilevel.batch_norm; }));
    grouped(add_choice<training::BatchNormStart>(
        app, "bn-start",
        "Batch norm before the first step: calibrated (the identity, on the features of the clean "
        "images predicted as its class; the default), shared (on those of all of them) or "
        "published (fresh, its statistics gathered in the warm-up)",
        [](Settings & s) -> auto& { return s.bilevel.batch_norm_start; }));
    grouped(add_change<double>(app, "--clip-norm",
                               "Norm that each class's gradient is clipped to (default: 1; a-cnpd, "
                               "e-cnpd, and for more than 20 classes 3; 0: no clipping)",
                               [](Settings& s, double norm) { s.bilevel.clip_norm = norm; }));
    grouped(app.add_flag("--constant-lr", constant_rate_,
                         "A constant learning rate instead of a cosine"));
    grouped(add_choice<polarizers::Structure>(
        app, "structure",
        "npd, r-cnpd: conv-bn (the default), conv, bn or conv-bn-conv-bn; what is left out stays "
        "the identity",
        [](Settings & s) -> auto& { return s.polarizer.structure; }));
    grouped(add_change<std::int64_t>(
        app, "--experts", "a-cnpd: shared experts (default: 8 for up to 10 classes, else 16)",
        [](Settings& s, std::int64_t experts) { s.polarizer.experts = experts; }));
    grouped(add_change<std::int64_t>(
        app, "--embedding-width",
        "a-cnpd, e-cnpd: numbers in a query, in a class's vector (default: 16)",
        [](Settings& s, std::int64_t width) { s.polarizer.embedding_width = width; }));
    grouped(add_choice<polarizers::Embedding>(
        app, "embedding",
        "e-cnpd: concat (the vector as more channels; the default) or film (it scales and shifts)",
        [](Settings & s) -> auto& { return s.polarizer.embedding; }));
    grouped(add_change<std::int64_t>(
        app, "--top-k", "Ensemble: the most likely classes that are mixed (default: 3)",
        [](Settings& s, std::int64_t classes) { s.top_k = classes; }));
    grouped(app.add_option("--polarizers", polarizers_,
                           "Ensemble: an r-cnpd run of the same victim whose polarizers to take, "
                           "instead of training them again"));
}

void Defend::add_inner_loop_options(CLI::App& app) {
    const auto grouped = [](CLI::Option* option) { option->group("Adversarial examples"); };
    grouped(add_choice<training::Strategy>(
        app, "strategy",
        "The class that an example is pushed to: random (the default), second (the most likely "
        "other one; npd's default), target (the attack's, an oracle), wrong (another fixed one), "
        "given (--push-to) or untarget (none: away from its own)",
        [](Settings & s) -> auto& { return s.bilevel.strategy; }));
    grouped(add_change<std::int64_t>(app, "--push-to",
                                     "Strategy given: the number of a class that you suspect",
                                     [](Settings& s, std::int64_t suspect) {
                                         s.bilevel.strategy = training::Strategy::given;
                                         s.bilevel.push_to = suspect;
                                     }));
    grouped(add_choice<training::PgdThrough>(
        app, "pgd-through",
        "Whose gradient is followed: plain (the victim's), composite (the purified model's) or "
        "both (the default)",
        [](Settings & s) -> auto& { return s.bilevel.pgd_through; }));
    grouped(add_choice<ops::PgdGradient>(
        app, "pgd-gradient",
        "What a step follows: the gradient itself (raw), its sign, or normalised to length 1 (the "
        "default)",
        [](Settings & s) -> auto& { return s.bilevel.pgd.gradient; }));
    grouped(add_choice<ops::PgdNorm>(
        app, "pgd-norm", "l2 (the default), linf or l1",
        [](Settings & s) -> auto& { return s.bilevel.pgd.norm; }));
    grouped(add_change<float>(app, "--pgd-radius",
                              "Radius of the ball around an image (default: 3 at 32x32, for more "
                              "than 20 classes 2; in proportion elsewhere)",
                              [](Settings& s, float radius) { s.bilevel.pgd.radius = radius; }));
    grouped(add_change<std::int64_t>(
        app, "--pgd-steps", "Steps (default: 3; for more than 20 classes 5)",
        [](Settings& s, std::int64_t steps) { s.bilevel.pgd_steps = steps; }));
    grouped(add_change<float>(
        app, "--pgd-step-size",
        "A step, in pixels of [0,1] (default: normalised radius / steps, otherwise 0.1)",
        [](Settings& s, float size) { s.bilevel.pgd.step = size; }));
}

void Defend::add_loss_options(CLI::App& app) {
    const auto add_weight = [&](const char* name, const std::string& text,
                                float ops::DefenseLossWeights::*term) {
        add_change<float>(app, name, text, [term](Settings& s, float weight) {
            s.bilevel.weights.*term = weight;
        })->group("Weights of the loss");
    };
    using Weights = ops::DefenseLossWeights;
    add_weight("--lambda-clean", "Cross-entropy of clean images (default: 1)", &Weights::clean);
    add_weight("--lambda-undo",
               "Undoing the push (default: 0.05; r-cnpd for more than 20 classes 0.02)",
               &Weights::undo);
    add_weight(
        "--lambda-strongest",
        "Against the strongest wrong class (default: 0.05; r-cnpd for more than 20 classes 0.02)",
        &Weights::strongest);
    add_weight("--lambda-target",
               "Against the target class (default: 0.3; r-cnpd for more than 20 classes 0.1)",
               &Weights::target);
}

void Defend::apply_options(Settings& settings) const {
    if (given_seed_->count() > 0) settings.seed = seed_;
    if (constant_rate_) settings.bilevel.cosine = false;
    if (no_augment_) settings.augment = false;
    for (const auto& change : changes_) change(settings);
}

// What has been trained cannot be changed any more.
training::DefenseSettings Defend::taken_over() const {
    Settings settings = runs::taking_over(polarizers_);
    const Settings trained = settings;
    apply_options(settings);
    settings.method = method_;
    training::validate(settings);
    Settings compared = settings;
    compared.top_k = trained.top_k;
    compared.bilevel.evaluate_every = trained.bilevel.evaluate_every;
    if (training::to_json(compared) != training::to_json(trained))
        throw InputError(
            "the polarizers that are taken over keep the settings that they were trained with: "
            "with --polarizers only --top-k can be given");
    return settings;
}

training::DefenseSettings Defend::settings() const {
    defenses::info_of(method_);  // or its InputError
    const auto recipe = training::value_named<training::DefenseRecipe>("recipe", recipe_);
    if (!polarizers_.empty()) return taken_over();
    Settings settings = training::recommended_settings(recipe, method_, runs::defended_data(run_));
    apply_options(settings);
    // Before the step size follows from them.
    training::validate(settings);
    training::complete(settings.bilevel);
    return settings;
}

void Defend::run() {
    const training::Compute compute = common.apply();
    const training::DefenseSettings checked = settings();
    if (output_.out.empty()) output_.out = (std::filesystem::path(run_) / checked.method).string();
    const auto result = runs::defend(run_, data_, checked, output_.run_options(compute));
    print_result({checked.method, result}, common.json);
}

}  // namespace

std::unique_ptr<Command> add_defend(CLI::App& program) {
    auto command = std::make_unique<Defend>();
    command->add_to(*program.add_subcommand(
        "defend", "Take the backdoor out of a victim, with a few clean images"));
    return command;
}

}  // namespace cnpd::cli
