// What the program's subcommands share.
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

// The words of the command line. What --help shows depends on some of them: the attack, the method.
class Words {
  public:
    Words(int argc, char** argv) : words_(argv + std::min(argc, 1), argv + argc) {}
    // The value of "--attack X" or "--attack=X"; `otherwise` where there is none.
    std::string value_of(std::string_view option, std::string otherwise) const;
    std::vector<std::string>& all() { return words_; }
    const std::vector<std::string>& all() const { return words_; }

  private:
    std::vector<std::string> words_;
};

// Options that every subcommand which computes something has.
struct CommonOptions {
    std::string device, precision = "fp32", config;
    int threads = 0;  // 0: all cores
    bool json = false, quiet = false;

    void add_to(CLI::App& app);
    // Sets verbosity and threads.
    void set_up() const;
    // That and the precision, and finds the device; says so where it has to be the CPU for want of
    // a GPU.
    training::Compute apply() const;

  private:
    engine::Device chosen_device() const;
};

// --seed, with a check: CLI11 takes a negative number for a huge one and a huge one for the
// largest.
CLI::Option* add_seed(CLI::App& app, std::uint64_t& seed);

// Options of what writes a run directory.
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
    // The options that make the run again whose config.json is given to --config. Throws FileError
    // for a run of another kind.
    virtual runs::Given options_of_run(const nlohmann::ordered_json& config,
                                       const std::string& path) const;
    CommonOptions common;
    FieldOptions fields;
};

// Each is in a file of its own.
std::unique_ptr<Command> add_demo(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_train(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_defend(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_evaluate(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_predict(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_report(CLI::App& program, const Words& words);
std::unique_ptr<Command> add_info(CLI::App& program, const Words& words);

// Fills the options that the command line left alone from the file of --config. Throws FileError
// for keys that the subcommand does not have.
void apply_config(const CLI::App& program, CLI::App& subcommand, Command& command);

// All values of settings as options, for options_of_run().
runs::Given all_of(const settings::Fields& fields);

// Prints a result on stdout: as JSON, or as a table with one row for each model.
struct ResultLine {
    std::string name;
    const nlohmann::ordered_json& result;
};
void print_results(const std::vector<ResultLine>& lines, bool json);

// The same for one model: as a table with the victim above it where the result knows it, and what
// its two predictions detect where they were compared.
void print_result(const ResultLine& line, bool json);

// On stderr: where a run is, and the command to try next.
void say_next(const std::string& out, const std::string& next);
// Warns of a victim that guesses, and of an attack that did not take.
void warn_of_weak_victim(const nlohmann::ordered_json& result, std::int64_t classes);

}  // namespace cnpd::cli
