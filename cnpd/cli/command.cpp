#include "cnpd/cli/command.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>

#include <fmt/format.h>
#include <omp.h>
#include <nlohmann/json.hpp>

#include "cnpd/report/table.h"
#include "cnpd/settings/config_file.h"
#include "cnpd/settings/suggest.h"
#include "cnpd/store/run_directory.h"
#include "cnpd/terminal/log.h"
#include "kernels/common/error.h"

namespace cnpd::cli {

using nlohmann::ordered_json;

void CommonOptions::add_to(CLI::App& app) {
    app.add_option("--device", device,
                   "cpu, cuda or emulated (default: the fastest one available)");
    app.add_option("--precision", precision,
                   "Arithmetic of the network:\n"
                   "  fp32\n"
                   "  tf32: convolutions and matrix products may use a GPU's tensor cores; on "
                   "other devices the same as fp32\n"
                   "  bf16: activations and their gradients in bfloat16, weights and sums in fp32; "
                   "not on the CPU")
        ->capture_default_str();
    app.add_option("--threads", threads, "CPU threads (default: all cores)")
        ->check(CLI::Range(0, 4096));
    app.add_option(
        "--config", config,
        "TOML or JSON file with values for these options; the command line takes precedence");
    app.add_flag("--json", json, "Print the result as JSON");
    app.add_flag("--quiet", quiet, "Print only warnings and the result, no progress");
}

void CommonOptions::set_up() const {
    if (quiet) set_verbosity(Verbosity::quiet);
    if (threads > 0) omp_set_num_threads(threads);
}

training::Compute CommonOptions::apply() const {
    set_up();
    const training::Compute compute{
        .device = chosen_device(),
        .precision = settings::value_named<training::Precision>("--precision", precision)};
    training::prepare(compute);
    return compute;
}

engine::Device CommonOptions::chosen_device() const {
    if (!device.empty()) return engine::device_from_name(device);
    const bool built_for_gpu = engine::built_backends().front() == engine::Backend::cuda;
    if (built_for_gpu && !engine::why_no_gpu().empty())
        log_warning(fmt::format("no GPU ({}): running on the CPU", engine::why_no_gpu()));
    return engine::default_device();
}

CLI::Option* add_seed(CLI::App& app, std::uint64_t& seed) {
    const auto complaint = [](const std::string& text) -> std::string {
        std::uint64_t value = 0;
        const char* const last = text.data() + text.size();
        const auto [end, error] = std::from_chars(text.data(), last, value);
        if (error == std::errc() && end == last) return "";
        return fmt::format("'{}' is not an integer from 0 to {}", text, UINT64_MAX);
    };
    return app.add_option("--seed", seed, "Seed of all random numbers")
        ->capture_default_str()
        ->check(complaint);
}

void OutputOptions::add_to(CLI::App& app, const std::string& default_out) {
    out = default_out;
    app.add_option("--out", out, "Run directory to write")->capture_default_str();
    app.add_flag("--resume", resume, "Continue an interrupted run");
    app.add_flag("--overwrite", overwrite, "Replace an existing run");
}

runs::RunOptions OutputOptions::run_options(const training::Compute& compute) const {
    if (out.empty()) throw InputError("--out is empty; give a directory for the run");
    return {.out = out, .compute = compute, .resume = resume, .overwrite = overwrite};
}

std::string Words::value_of(std::string_view option, std::string otherwise) const {
    for (std::size_t i = 0; i < words_.size(); ++i) {
        const std::string& word = words_[i];
        if (word == option && i + 1 < words_.size()) otherwise = words_[i + 1];
        if (word.starts_with(option) && word.size() > option.size() && word[option.size()] == '=')
            otherwise = word.substr(option.size() + 1);
    }
    return otherwise;
}

runs::Given Command::options_of_run(const ordered_json&, const std::string& path) const {
    throw FileError(path, "is the configuration of a run", "settings of this command");
}

runs::Given all_of(const settings::Fields& fields) {
    runs::Given given;
    for (const settings::Field& field : fields.all())
        if (!field.is_unset()) given.emplace_back(field.option().substr(2), field.text());
    return given;
}

namespace {

std::vector<std::string> option_names(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options())
        for (const std::string& name : option->get_lnames())
            if (name != "config" && name != "help") names.push_back(name);
    return names;
}

// Throws FileError if a table is not a subcommand or a key is not an option.
void refuse_unknown(const CLI::App& program, const CLI::App& subcommand, const Config& config) {
    std::vector<std::string> commands, everywhere;
    for (const CLI::App* app : program.get_subcommands({})) {
        commands.push_back(app->get_name());
        for (std::string& name : option_names(*app)) everywhere.push_back(std::move(name));
    }
    const auto known = [](const std::vector<std::string>& names, const std::string& name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    for (const ConfigEntry& entry : config.entries) {
        if (!entry.table.empty() && !known(commands, entry.table))
            throw FileError(config.path,
                            fmt::format("line {}: unknown table [{}]{}", entry.line, entry.table,
                                        settings::did_you_mean(entry.table, commands)),
                            "a subcommand");
        const bool own = entry.table == subcommand.get_name();
        const std::vector<std::string> names =
            own || entry.table.empty() ? option_names(subcommand) : std::vector<std::string>();
        if (own ? known(names, entry.key) : known(everywhere, entry.key)) continue;
        throw FileError(config.path,
                        fmt::format("line {}: unknown option '{}'{}", entry.line, entry.key,
                                    settings::did_you_mean(entry.key, own ? names : everywhere)),
                        fmt::format("an option of cnpd {}",
                                    entry.table.empty() ? subcommand.get_name() : entry.table));
    }
}

// An option that is not declared in settings::Fields.
void set_option(CLI::Option& option, const ConfigEntry& entry, const std::string& path) {
    if (option.count() > 0) return;
    try {
        for (const std::string& value : entry.values) option.add_result(value);
        option.run_callback();
    } catch (const CLI::Error& error) {
        throw FileError(path, fmt::format("line {}: {}", entry.line, error.what()));
    }
}

// The file's content if it is a run's config.json.
std::optional<ordered_json> run_configuration(const std::string& path) {
    if (!path.ends_with(".json")) return std::nullopt;
    ordered_json json = store::read_json(path);
    if (!json.is_object() || !json.contains("kind") || !json.contains("cnpd")) return std::nullopt;
    return json;
}

}  // namespace

void apply_config(const CLI::App& program, CLI::App& subcommand, Command& command) {
    const std::string& path = command.common.config;
    if (path.empty()) return;
    if (const auto run = run_configuration(path)) {
        for (const auto& [name, text] : command.options_of_run(*run, path))
            command.fields.set_from_file(name, text);
        return;
    }
    const Config config = read_config(path);
    refuse_unknown(program, subcommand, config);
    for (const ConfigEntry& entry : config.entries_for(subcommand.get_name())) {
        if (entry.values.size() == 1 &&
            command.fields.set_from_file(entry.key, entry.values.front()))
            continue;
        // An entry outside tables may be an option of other subcommands only.
        if (CLI::Option* option = subcommand.get_option_no_throw("--" + entry.key))
            set_option(*option, entry, path);
    }
}

void say_next(const std::string& out, const std::string& next) {
    log_info(fmt::format("wrote {}\nnext:  {}", out, next));
}

void warn_of_weak_victim(const ordered_json& result, std::int64_t classes) {
    const auto rate = [&](const char* key) {
        const auto found = result.find(key);
        return found != result.end() && found->is_number() ? found->get<double>() : std::nan("");
    };
    const double chance = 100.0 / static_cast<double>(std::max<std::int64_t>(classes, 1));
    if (rate("acc") < 1.5 * chance)
        log_warning(
            fmt::format("the victim is close to chance: ACC {:.2f} % with {} classes; train longer "
                        "(--epochs), on more images (--train-limit) or with another --lr",
                        rate("acc"), classes));
    else if (rate("asr") - rate("asr_untriggered") < 10)
        log_warning(
            fmt::format("the attack failed: ASR {:.2f} %, and without the trigger {:.2f} % of the "
                        "same images are classified as the target; train longer (--epochs) or "
                        "poison more images (--poison-ratio)",
                        rate("asr"), rate("asr_untriggered")));
}

namespace {

std::string percent_cell(const ordered_json& result, const char* key) {
    const auto found = result.find(key);
    return found == result.end() || !found->is_number()
               ? "-"
               : fmt::format("{:.2f}", found->get<double>());
}

std::string seconds_cell(const ordered_json& result) {
    const auto seconds = result.find("seconds");
    return seconds == result.end() ? "-" : fmt::format("{:.1f}", seconds->get<double>());
}

bool is_benign(const ordered_json& result) {
    return result.value("benign", false);
}

// For `--attack none`: there is no attack to measure.
void print_benign(const std::vector<ResultLine>& lines) {
    report::Table table({{"model"}, {"ACC %"}, {"seconds"}});
    for (const auto& [name, result] : lines)
        table.add_row({name, percent_cell(result, "acc"), seconds_cell(result)});
    table.print();
    fmt::print("Benign: no training image carries a trigger. ACC over {} clean test images.\n",
               lines.front().result.value("n_clean", 0));
}

}  // namespace

void print_results(const std::vector<ResultLine>& lines, bool json) {
    if (json) {
        ordered_json all;
        for (const ResultLine& line : lines) all[line.name] = line.result;
        const ordered_json& shown = lines.size() == 1 ? lines.front().result : all;
        fmt::print("{}\n", shown.dump(2));
        return;
    }
    const ordered_json& first = lines.front().result;
    if (is_benign(first)) return print_benign(lines);
    report::Table table({{"model"}, {"ACC %"}, {"ASR %"}, {"R-ACC %"}, {"DER %"}, {"seconds"}});
    for (const auto& [name, result] : lines)
        table.add_row({name, percent_cell(result, "acc"), percent_cell(result, "asr"),
                       percent_cell(result, "r_acc"), percent_cell(result, "der"),
                       seconds_cell(result)});
    table.print();
    fmt::print("ACC over {} clean test images, ASR and R-ACC over {} with the trigger.\n",
               first.value("n_clean", 0), first.value("n_poisoned", 0));
    std::string untriggered;
    for (const auto& [name, result] : lines)
        if (const std::string rate = percent_cell(result, "asr_untriggered"); rate != "-")
            untriggered += fmt::format("{}{} {} %", untriggered.empty() ? "" : ", ", name, rate);
    if (!untriggered.empty())
        fmt::print("Without the trigger, the same images are still classified as the target: {}.\n",
                   untriggered);
}

void print_result(const ResultLine& line, bool json) {
    const ordered_json& result = line.result;
    if (json || !result.contains("acc_before")) {
        print_results({line}, json);
        return;
    }
    ordered_json before = {{"n_clean", result["n_clean"]}, {"n_poisoned", result["n_poisoned"]}};
    for (const std::string key : {"acc", "asr", "r_acc"}) before[key] = result[key + "_before"];
    if (is_benign(result)) before["benign"] = true;
    print_results({{"victim", before}, line}, false);
    if (is_benign(result) && before["acc"].is_number() && result["acc"].is_number())
        fmt::print("There was no backdoor to remove; the defense changed ACC by {:+.2f} points.\n",
                   result["acc"].get<double>() - before["acc"].get<double>());
    if (!result.contains("detection_tpr")) return;
    if (is_benign(result)) {
        fmt::print(
            "False alarms: victim and purified model disagree on {} % of the clean images.\n",
            percent_cell(result, "detection_fpr"));
        return;
    }
    fmt::print(
        "Detection: victim and purified model disagree on {} % of the images with the trigger ({} "
        "% of those that\n"
        "the victim classified as the target), and on {} % of the clean ones (false alarms). AUROC "
        "of the score: {} %\n"
        "(with only those that the victim classified as the target: {} %).\n",
        percent_cell(result, "detection_tpr"), percent_cell(result, "detection_tpr_successful"),
        percent_cell(result, "detection_fpr"), percent_cell(result, "detection_auroc"),
        percent_cell(result, "detection_auroc_successful"));
}

}  // namespace cnpd::cli
