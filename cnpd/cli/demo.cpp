// cnpd demo: attack and defense on synthetic images in one to two minutes, without a download.
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/report/collect.h"
#include "cnpd/report/html.h"
#include "cnpd/store/run_directory.h"
#include "cnpd/terminal/log.h"
#include "engine/files.h"

namespace cnpd::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

class Demo : public Command {
  public:
    void add_to(CLI::App& app) {
        add_seed(app, seed_);
        app.add_option("--width", width_, "Channels of the model's first stage")
            ->capture_default_str();
        app.add_option("--epochs", epochs_, "The victim's epochs")->capture_default_str();
        app.add_option("--attack", attack_, "badnets, blended or sig")->capture_default_str();
        app.add_option("--train-limit", train_limit_,
                       "Use a random subset of N training images (0: all)");
        output_.add_to(app, "runs/demo");
        common.add_to(app);
    }
    void run() override;

  private:
    runs::VictimSettings victim() const;
    ordered_json defend(const std::string& method, const fs::path& out, runs::Given changes,
                        const training::Compute& compute) const;
    runs::RunOptions options(const fs::path& out, const training::Compute& compute) const;

    std::uint64_t seed_ = 0;
    std::int64_t width_ = 8, epochs_ = 6, train_limit_ = 0;
    std::string attack_ = "badnets";
    OutputOptions output_;
};

runs::VictimSettings Demo::victim() const {
    return runs::victim_settings({{"train-limit", std::to_string(train_limit_)},
                                  {"width", std::to_string(width_)},
                                  {"attack", attack_},
                                  {"epochs", std::to_string(epochs_)},
                                  {"seed", std::to_string(seed_)}});
}

// Changes to the recipe for 500 clean images: small batches, so that there are enough steps, and
// cheap adversarial examples, which suffice for this trigger.
const runs::Given kPolarizer{
    {"epochs", "40"},         {"batch-size", "32"},     {"eval-every", "5"},
    {"pgd-steps", "2"},       {"pgd-gradient", "sign"}, {"pgd-step-size", "0.1"},
    {"pgd-through", "plain"}, {"lambda-undo", "0.2"},   {"lambda-strongest", "0.2"},
    {"lambda-target", "0.2"}};
const runs::Given kFineTuning{{"epochs", "20"}, {"batch-size", "128"}, {"eval-every", "5"}};

ordered_json Demo::defend(const std::string& method, const fs::path& out, runs::Given changes,
                          const training::Compute& compute) const {
    const fs::path victim = fs::path(output_.out) / "victim";
    changes.emplace_back("method", method);
    changes.emplace_back("seed", std::to_string(seed_));
    const runs::DefenseSettings settings =
        runs::defense_settings(changes, runs::defended_data(victim));
    return runs::defend({.victim_run = victim}, settings, options(out, compute));
}

// A repeated demo replaces its own runs.
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
        "1/4  Training a victim on drawn traffic signs; one image in ten carries a trigger and is "
        "labelled as class 0.");
    const ordered_json planted = runs::train(victim(), options(victim_run, compute));
    log_info("2/4  Defense by fine-tuning on 5 % clean data, for comparison.");
    const ordered_json tuned = defend("ft", out / "fine-tuning", kFineTuning, compute);
    log_info(
        "3/4  Defense by r-CNPD on the same clean data: a polarizer for each class, the victim "
        "frozen.");
    const ordered_json purified = defend("r-cnpd", out / "r-cnpd", kPolarizer, compute);
    log_info("4/4  Writing the report.");
    const fs::path page = out / "r-cnpd" / store::run_files::report;
    report::CollectOptions pictures;
    pictures.compare = {out / "fine-tuning"};
    const report::ReportData data = report::collect(out / "r-cnpd", pictures, compute);
    engine::write_file_atomically(page, report::render_html(data));

    print_results({{"victim", planted}, {"fine-tuning", tuned}, {"r-cnpd", purified}}, common.json);
    if (common.json) return;
    fmt::print(
        "{}\n"
        "Report: {}\n"
        "Next: cnpd train --help, or real images (see the README).\n",
        report::verdict(data), page.string());
}

}  // namespace

std::unique_ptr<Command> add_demo(CLI::App& program, const Words&) {
    auto command = std::make_unique<Demo>();
    command->add_to(*program.add_subcommand(
        "demo", "Plant, measure and remove a backdoor on drawn images, in one to two minutes"));
    return command;
}

}  // namespace cnpd::cli
