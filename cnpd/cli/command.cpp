#include "cnpd/cli/command.h"

#include <charconv>
#include <cstdint>
#include <cstdio>

#include <fmt/format.h>
#include <omp.h>
#include <nlohmann/json.hpp>

#include "cnpd/config/config.h"
#include "cnpd/report/table.h"
#include "cnpd/training/log.h"
#include "cnpd/training/names.h"
#include "kernels/common/error.h"

namespace cnpd::cli {

using nlohmann::ordered_json;

void CommonOptions::add_to(CLI::App& app) {
    app.add_option("--device", device, "cpu, cuda or emulated (default: the fastest that works)");
    app.add_option("--precision", precision,
                   "Arithmetic of the network:\n  fp32\n  tf32: convolutions and matrix products "
                   "may use a GPU's tensor cores; elsewhere as fp32\n  bf16: activations and "
                   "their gradients in bfloat16, weights and sums in fp32; not on the CPU")
        ->capture_default_str();
    app.add_option("--threads", threads, "CPU threads (default: all cores)")
        ->check(CLI::Range(0, 4096));
    app.add_option("--config", config,
                   "TOML or JSON file with the same names as these options; options win");
    app.add_flag("--json", json, "print the result as JSON");
    app.add_flag("--quiet", quiet, "no progress, warnings only");
}

void CommonOptions::set_up() const {
    if (quiet) set_verbosity(Verbosity::quiet);
    if (threads > 0) omp_set_num_threads(threads);
}

training::Compute CommonOptions::apply() const {
    set_up();
    const training::Compute compute{
        .device = chosen_device(),
        .precision = training::value_named<training::Precision>("precision", precision)};
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
        return fmt::format("'{}' is no integer from 0 to {}", text, UINT64_MAX);
    };
    return app.add_option("--seed", seed, "Seed of everything random")
        ->capture_default_str()
        ->check(complaint);
}

void OutputOptions::add_to(CLI::App& app, const std::string& default_out) {
    out = default_out;
    app.add_option("--out", out, "run directory to write")->capture_default_str();
    app.add_flag("--resume", resume, "go on where an interrupted run stopped");
    app.add_flag("--overwrite", overwrite, "replace a run that is already there");
}

runs::RunOptions OutputOptions::run_options(const training::Compute& compute) const {
    if (out.empty()) throw InputError("--out is empty; give a directory for the run");
    return {.out = out, .compute = compute, .resume = resume, .overwrite = overwrite};
}

void apply_config(CLI::App& subcommand, const std::string& path) {
    if (path.empty()) return;
    for (const ConfigEntry& entry : read_config(path).entries_for(subcommand.get_name())) {
        const auto complain = [&](const std::string& what) {
            throw FileError(path, fmt::format("line {}: {}", entry.line, what),
                            fmt::format("an option of cnpd {}", subcommand.get_name()));
        };
        CLI::Option* option = subcommand.get_option_no_throw("--" + entry.key);
        if (!option || entry.key == "config" || entry.key == "help")
            complain(fmt::format("unknown option '{}'", entry.key));
        if (option->count() > 0) continue;
        try {
            for (const std::string& value : entry.values) option->add_result(value);
            option->run_callback();
        } catch (const CLI::Error& error) {
            complain(error.what());
        }
    }
}

namespace {

std::string percent_cell(const ordered_json& result, const char* key) {
    const auto found = result.find(key);
    return found == result.end() || !found->is_number()
               ? "-"
               : fmt::format("{:.2f}", found->get<double>());
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
    report::Table table({{"model"}, {"ACC %"}, {"ASR %"}, {"R-ACC %"}, {"DER %"}, {"seconds"}});
    for (const auto& [name, result] : lines) {
        const auto seconds = result.find("seconds");
        table.add_row(
            {name, percent_cell(result, "acc"), percent_cell(result, "asr"),
             percent_cell(result, "r_acc"), percent_cell(result, "der"),
             seconds == result.end() ? "-" : fmt::format("{:.1f}", seconds->get<double>())});
    }
    table.print();
    const ordered_json& first = lines.front().result;
    fmt::print("ACC over {} clean test images, ASR and R-ACC over {} with the trigger.\n",
               first.value("n_clean", 0), first.value("n_poisoned", 0));
    std::string untriggered;
    for (const auto& [name, result] : lines)
        if (const std::string rate = percent_cell(result, "asr_untriggered"); rate != "-")
            untriggered += fmt::format("{}{} {} %", untriggered.empty() ? "" : ", ", name, rate);
    if (!untriggered.empty())
        fmt::print("The same images without the trigger end in its class as well: {}.\n",
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
    print_results({{"victim", before}, line}, false);
    if (!result.contains("detection_tpr")) return;
    fmt::print(
        "Detection, where victim and purified model disagree: {} % of the images with the trigger "
        "({} % of those\nthat it took to its class) and {} % of the clean ones are flagged; AUROC "
        "of the score {} % ({} %).\n",
        percent_cell(result, "detection_tpr"), percent_cell(result, "detection_tpr_successful"),
        percent_cell(result, "detection_fpr"), percent_cell(result, "detection_auroc"),
        percent_cell(result, "detection_auroc_successful"));
}

}  // namespace cnpd::cli
