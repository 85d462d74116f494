// cnpd train: plants a backdoor.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/store/run_directory.h"
#include "kernels/common/error.h"

namespace cnpd::cli {
namespace {

class Train : public Command {
  public:
    void add_to(CLI::App& app, const Words& words) {
        const std::string chosen = words.value_of("--attack", "badnets");
        // An unknown name is reported after parsing.
        const auto known = attacks::registry().names();
        const bool exists = std::find(known.begin(), known.end(), chosen) != known.end();
        add_fields(app, exists ? chosen : "badnets", words.value_of("--recipe", "fast"), true);
        for (const std::string& name : known) add_fields(app, name, "fast", false);
        output_.add_to(app, "runs/victim");
        common.add_to(app);
        app.footer(
            fmt::format("These are the options of --attack {}; for others, run cnpd train --attack "
                        "NAME --help.\n"
                        "Classes are numbered in the order of their folders: by number if all "
                        "names are numbers, otherwise alphabetically.\n"
                        "Example:\n"
                        "  cnpd train --dataset cifar10 --data DIR --width 16 --attack badnets \\\n"
                        "      --out runs/badnets",
                        exists ? chosen : "badnets"));
    }

    void run() override {
        const training::Compute compute = common.apply();
        const runs::VictimSettings settings = runs::victim_settings(fields.given());
        const auto result = runs::train(settings, output_.run_options(compute));
        print_results({{"victim", result}}, common.json);
        if (common.json) return;
        warn_of_weak_victim(result, settings.attack->data().classes);
        say_next(output_.out, fmt::format("cnpd defend --run {}", output_.out));
    }

    runs::Given options_of_run(const nlohmann::ordered_json& config,
                               const std::string& path) const override {
        if (config["kind"] != "victim")
            throw FileError(path, "is the configuration of a defense", "one of a victim");
        runs::VictimSettings settings = runs::victim_settings(config, path);
        return all_of(settings::fields_of(settings));
    }

  private:
    void add_fields(CLI::App& app, const std::string& attack, const std::string& recipe,
                    bool shown) {
        const auto recipes = training::recipe_names();
        const bool exists = std::find(recipes.begin(), recipes.end(), recipe) != recipes.end();
        runs::VictimSettings settings(attack, exists ? recipe : "fast");
        fields.add_to(app, settings::fields_of(settings), shown);
    }

    OutputOptions output_;
};

}  // namespace

std::unique_ptr<Command> add_train(CLI::App& program, const Words& words) {
    auto command = std::make_unique<Train>();
    command->add_to(
        *program.add_subcommand(
            "train",
            "Train a victim: a classifier on a data set in which some images carry a trigger"),
        words);
    return command;
}

}  // namespace cnpd::cli
