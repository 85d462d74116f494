// Code shared by the program's subcommands.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include "cnpd/cli/field_options.h"
#include "cnpd/runs/runs.h"

namespace cnpd::cli {

// The words of the command line. The output of --help depends on --attack, --method, --recipe and
// --run.
class Words {
  public:
    Words(int argc, char** argv) : words_(argv + std::min(argc, 1), argv + argc) {}
    // The value of "--attack X" or "--attack=X"; `otherwise` if it was not given.
    std::string value_of(std::string_view option, std::string otherwise) const;
    std::vector<std::string>& all() { return words_; }
    const std::vector<std::string>& all() const { return words_; }

  private:
    std::vector<std::string> words_;
};

// Options of all subcommands that compute something.
struct CommonOptions {
    std::string device, precision = "fp32", config;
    int threads = 0;  // 0: all cores
    bool json = false, quiet = false;

    void add_to(CLI::App& app);
    // Sets verbosity and threads.
    void set_up() const;
    // Also sets the precision and chooses the device. Warns if a CUDA build runs on the CPU because
    // there is no GPU.
    training::Compute apply() const;

  private:
    engine::Device chosen_device() const;
};

// --seed, with its own check: CLI11 wraps negative numbers around and clamps numbers above the
// maximum.
CLI::Option* add_seed(CLI::App& app, std::uint64_t& seed);

// Options of the subcommands that write a run directory.
struct OutputOptions {
    std::string out;
    bool resume = false, overwrite = false;

    void add_to(CLI::App& app, const std::string& default_out);
    runs::RunOptions run_options(const training::Compute& compute) const;
};

// One subcommand: adds its options to the parser, and runs after they have been parsed.
class Command {
  public:
    virtual ~Command() = default;
    virtual void run() = 0;
    // The options that repeat the run whose config.json was given to --config. Throws FileError for
    // a run of another kind.
    virtual runs::Given options_of_run(const nlohmann::ordered_json& config,
                                       const std::string& path) const;
    CommonOptions common;
    FieldOptions fields;
};

// Each is defined in its own file.
std::unique_ptr<Command> add_demo(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_train(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_defend(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_evaluate(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_predict(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_report(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_info(CLI::App& program, const Words& words);

// Sets the options that were not given on the command line from the file of --config. Throws
// FileError for unknown keys.
void apply_config(const CLI::App& program, CLI::App& subcommand, Command& command);

// All settings with a value of their own, as options, for options_of_run().
runs::Given all_of(const settings::Fields& fields);

// Prints a result on stdout: as JSON, or as a table with one row for each model.
struct ResultLine {
    std::string name;
    const nlohmann::ordered_json& result;
};
void print_results(const std::vector<ResultLine>& lines, bool json);

// The same for one model. Adds a row for the victim if the result contains its rates, and the
// detection rates if there are any.
void print_result(const ResultLine& line, bool json);

// Prints the run's directory and a suggested next command on stderr.
void say_next(const std::string& out, const std::string& next);
// Warns if the victim's accuracy is close to chance, and if the attack failed.
void warn_of_weak_victim(const nlohmann::ordered_json& result, std::int64_t classes);

}  // namespace cnpd::cli
