// cnpd demo: the whole story in a minute or two, without any download.
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/report/collect.h"
#include "cnpd/report/html.h"
#include "cnpd/training/log.h"
#include "cnpd/training/recipes.h"
#include "cnpd/training/run_directory.h"
#include "engine/files.h"

namespace cnpd::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

const training::DefendedData kDrawnSigns{.dataset = "synthetic", .classes = 10, .h = 32, .w = 32};

class Demo : public Command {
  public:
    void add_to(CLI::App& app) {
        add_seed(app, seed_);
        app.add_option("--width", width_, "Channels of the model's first stage")
            ->capture_default_str();
        app.add_option("--epochs", epochs_, "The victim's epochs")->capture_default_str();
        app.add_option("--attack", attack_, "badnets, blended or sig")->capture_default_str();
        app.add_option("--train-limit", train_limit_, "Use only so many training images (0: all)");
        output_.add_to(app, "runs/demo");
        common.add_to(app);
    }
    void run() override;

  private:
    training::VictimSettings victim() const;
    training::DefenseSettings defense(const std::string& method) const;
    runs::RunOptions options(const fs::path& out, const training::Compute& compute) const;

    std::uint64_t seed_ = 0;
    std::int64_t width_ = 8, epochs_ = 6, train_limit_ = 0;
    std::string attack_ = "badnets";
    OutputOptions output_;
};

training::VictimSettings Demo::victim() const {
    training::VictimSettings settings;
    settings.data.train_limit = train_limit_;
    settings.width = width_;
    settings.attack = attack_;
    settings.recipe.epochs = epochs_;
    settings.seed = seed_;
    training::validate(settings);
    return settings;
}

training::DefenseSettings Demo::defense(const std::string& method) const {
    training::DefenseSettings settings =
        training::recommended_settings(training::DefenseRecipe::tuned, method, kDrawnSigns);
    settings.seed = seed_;
    // 500 clean images are few: small batches, so that there are enough steps.
    settings.bilevel.epochs = 40;
    settings.bilevel.batch_size = 32;
    settings.bilevel.evaluate_every = 5;
    // This trigger needs no better examples, and nobody wants to wait for them.
    training::use_published_inner_loop(settings.bilevel);
    settings.bilevel.weights = {.clean = 1, .undo = 0.2f, .strongest = 0.2f, .target = 0.2f};
    settings.fine_tuning.epochs = 20;
    settings.fine_tuning.batch_size = 128;
    training::complete(settings.bilevel);
    training::validate(settings);
    return settings;
}

// Other than a run that somebody asked for by name, the demo may be repeated without more ado.
runs::RunOptions Demo::options(const fs::path& out, const training::Compute& compute) const {
    runs::RunOptions options = output_.run_options(compute);
    options.out = out;
    options.overwrite = !options.resume;
    return options;
}

void Demo::run() {
    const training::Compute compute = common.apply();
    const fs::path out = output_.out, victim_run = out / "victim";
    log_info(
        "1/4  A victim learns drawn traffic signs; one image in ten carries a trigger and is "
        "labelled as class 0.");
    const ordered_json planted = runs::train(victim(), options(victim_run, compute));
    log_info("2/4  Fine-tuning, the obvious remedy, on 5 % clean data.");
    const ordered_json tuned =
        runs::defend(victim_run, "", defense("ft"), options(out / "fine-tuning", compute));
    log_info("3/4  r-CNPD on the same clean data: a polarizer for each class, the victim frozen.");
    const ordered_json purified =
        runs::defend(victim_run, "", defense("r-cnpd"), options(out / "r-cnpd", compute));
    log_info("4/4  The page with pictures.");
    const fs::path page = out / "r-cnpd" / training::run_files::report;
    report::CollectOptions pictures;
    pictures.compare = {out / "fine-tuning"};
    const report::ReportData data = report::collect(out / "r-cnpd", pictures, compute);
    engine::write_file_atomically(page, report::render_html(data));

    print_results({{"victim", planted}, {"fine-tuning", tuned}, {"r-cnpd", purified}}, common.json);
    if (common.json) return;
    fmt::print("{}\nThe page: {}\nNext: cnpd train --help, or real images (see the README).\n",
               report::verdict(data), page.string());
}

}  // namespace

std::unique_ptr<Command> add_demo(CLI::App& program) {
    auto command = std::make_unique<Demo>();
    command->add_to(*program.add_subcommand(
        "demo",
        "Plant a backdoor, measure it and take it out, on drawn images, in a minute or two"));
    return command;
}

}  // namespace cnpd::cli
