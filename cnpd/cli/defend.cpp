// cnpd defend: removes a backdoor.
#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/store/run_directory.h"
#include "kernels/common/error.h"

namespace cnpd::cli {
namespace {

// Determines the defaults that --help shows without a readable --run.
const defenses::DefendedData kUsualData{.dataset = "cifar10", .classes = 10, .h = 32, .w = 32};

class Defend : public Command {
  public:
    void add_to(CLI::App& app, const Words& words) {
        app.add_option("--run", run_, "The victim's run directory")->required();
        app.add_option("--data", data_, "Directory of the data set, if it has moved");
        const auto known = defenses::registry().names();
        std::string method = words.value_of("--method", "r-cnpd");
        if (std::find(known.begin(), known.end(), method) == known.end()) method = "r-cnpd";
        const auto recipe = words.value_of("--recipe", "tuned") == "published"
                                ? defenses::Recipe::published
                                : defenses::Recipe::tuned;
        add_fields(app, method, recipe, shown_data(words), true);
        for (const std::string& name : known) add_fields(app, name, recipe, kUsualData, false);
        output_.add_to(app, "");
        common.add_to(app);
        app.footer(
            fmt::format("These are the options and defaults of --method {}; for others, run cnpd "
                        "defend --method NAME --help.\n"
                        "The run's config.json records all values used.\n"
                        "Example:\n"
                        "  cnpd defend --run runs/badnets --method r-cnpd",
                        method));
    }

    void run() override {
        const training::Compute compute = common.apply();
        const runs::DefenseSettings settings =
            runs::defense_settings(fields.given(), runs::defended_data(run_));
        if (output_.out.empty())
            output_.out = (std::filesystem::path(run_) / settings.method).string();
        const auto result = runs::defend(
            {.victim_run = run_, .data_override = data_, .given = fields.given_names()}, settings,
            output_.run_options(compute));
        print_result({settings.method, result}, common.json);
        if (!common.json) say_next(output_.out, fmt::format("cnpd report --run {}", output_.out));
    }

    runs::Given options_of_run(const nlohmann::ordered_json& config,
                               const std::string& path) const override {
        if (config["kind"] != "defense")
            throw FileError(path, "is the configuration of a victim", "one of a defense");
        runs::DefenseSettings settings = runs::defense_settings(config, path);
        return all_of(settings::fields_of(settings));
    }

  private:
    void add_fields(CLI::App& app, const std::string& method, defenses::Recipe recipe,
                    const defenses::DefendedData& data, bool shown) {
        runs::DefenseSettings settings(method, recipe, data);
        fields.add_to(app, settings::fields_of(settings), shown);
    }

    // Data of the run given by --run, if it can be read; errors in it are reported after parsing.
    static defenses::DefendedData shown_data(const Words& words) {
        const std::string run = words.value_of("--run", "");
        if (run.empty()) return kUsualData;
        try {
            return runs::defended_data(run);
        } catch (const Error&) {
            return kUsualData;
        }
    }

    std::string run_, data_;
    OutputOptions output_;
};

}  // namespace

std::unique_ptr<Command> add_defend(CLI::App& program, const Words& words) {
    auto command = std::make_unique<Defend>();
    command->add_to(*program.add_subcommand(
                        "defend", "Remove the backdoor from a victim, using a few clean images"),
                    words);
    return command;
}

}  // namespace cnpd::cli
