#include "cnpd/store/run_directory.h"

#include <array>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernels/common/error.h"

namespace cnpd::store {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMaxJsonBytes = 16 << 20;
constexpr std::int64_t kMaxMetricsBytes = 256 << 20;
constexpr int kMaxDepth = 32;

// config.json is last, because its presence marks a run.
constexpr std::array kRunFiles = {
    run_files::indices, run_files::victim_metrics, run_files::metrics,   run_files::result,
    run_files::report,  run_files::model,          run_files::polarizer, run_files::checkpoint,
    run_files::pattern, run_files::defended,       run_files::config};

nlohmann::ordered_json parse_json(std::string_view text, std::string_view path,
                                  std::string_view where) {
    // Writing JSON recurses.
    const auto check_depth = [&](int depth, nlohmann::json::parse_event_t, const auto&) {
        if (depth > kMaxDepth)
            throw FileError(path, fmt::format("{}deep nesting", where),
                            fmt::format("at most {} levels", kMaxDepth));
        return true;
    };
    // The JSON library treats a zero byte as the end of the text.
    if (const std::size_t zero = text.find('\0'); zero != text.npos)
        throw FileError(path, fmt::format("{}invalid JSON at byte {}", where, zero + 1), "JSON");
    try {
        return nlohmann::ordered_json::parse(text, check_depth);
    } catch (const nlohmann::json::parse_error& error) {
        throw FileError(path, fmt::format("{}invalid JSON at byte {}", where, error.byte), "JSON");
    } catch (const nlohmann::json::exception&) {
        throw FileError(path, fmt::format("{}a number out of range", where), "JSON");
    }
}

std::string text_of(const nlohmann::ordered_json& value, int indent) {
    // A path need not be UTF-8.
    return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

// Calls action(line, value) for every complete line of a metrics.jsonl.
template <class Action>
void for_each_line(std::string_view text, const fs::path& path, Action action) {
    std::size_t begin = 0;
    std::int64_t number = 1;
    for (std::size_t end; (end = text.find('\n', begin)) != text.npos; begin = end + 1, ++number) {
        const std::string where = fmt::format("line {}: ", number);
        const std::string_view line = text.substr(begin, end - begin);
        nlohmann::ordered_json value = parse_json(line, path.string(), where);
        if (!value.is_object() || !value.contains("epoch") || !value["epoch"].is_number_integer())
            throw FileError(path.string(), where + "no epoch",
                            "an object with an integer \"epoch\"");
        action(line, value);
    }
}

void remove_directories(const std::vector<fs::path>& made) {
    std::error_code ignored;
    // Directories that are no longer empty are kept.
    for (auto path = made.rbegin(); path != made.rend(); ++path) fs::remove(*path, ignored);
}

// Names of the runs in a directory that is not a run.
std::string runs_in(const fs::path& directory) {
    std::string names;
    std::error_code ignored;
    for (fs::directory_iterator entry(directory, ignored), end; entry != end;
         entry.increment(ignored))
        if (fs::exists(entry->path() / run_files::config, ignored))
            names += (names.empty() ? "" : ", ") + entry->path().filename().string();
    return names;
}

}  // namespace

RunDirectory::RunDirectory(const fs::path& path, const ExistingRun& existing)
    : path_(path), existing_(existing) {
    if (existing_.resume && existing_.overwrite)
        throw InputError("--resume and --overwrite cannot be combined");
    made_ = engine::make_directories(path);
    try {
        if (auto lock = engine::FileLock::try_lock(file(".lock")))
            lock_.emplace(std::move(*lock));
        else
            throw FileError(path_.string(), "is being written by another process",
                            "a run directory of its own");
        if (!existing_.resume && !existing_.overwrite) refuse_former_run();
    } catch (...) {
        lock_.reset();
        remove_directories(made_);
        throw;
    }
}

void RunDirectory::refuse_former_run() const {
    for (const char* name : kRunFiles) {
        if (!fs::exists(file(name))) continue;
        if (fs::exists(file(run_files::config)) && !fs::exists(file(run_files::result)))
            throw FileError(path_.string(), "holds a run that was interrupted",
                            "--resume to continue it, --overwrite to start again, or another "
                            "directory (--out)");
        throw FileError(path_.string(), fmt::format("already holds a run ({})", name),
                        "another directory (--out), or --overwrite to replace the run");
    }
}

RunDirectory::~RunDirectory() {
    lock_.reset();
    if (!kept_) remove_directories(made_);
}

void RunDirectory::keep() {
    remove_former_run();
    kept_ = true;
}

void RunDirectory::remove_former_run() {
    if (!existing_.overwrite || std::exchange(former_removed_, true)) return;
    for (const char* name : kRunFiles) {
        std::error_code error;
        fs::remove(file(name), error);
        if (error) throw FileError(file(name).string(), "cannot be removed: " + error.message());
    }
}

bool RunDirectory::resumes() const {
    return existing_.resume && fs::exists(file(run_files::config));
}

void RunDirectory::write(std::string_view name, std::string_view bytes) {
    remove_former_run();
    engine::write_file_atomically(file(name), bytes);
    kept_ = true;
}

void RunDirectory::write_json(std::string_view name, const nlohmann::ordered_json& value) {
    // All indices on one line.
    const int indent = name == run_files::indices ? -1 : 2;
    write(name, text_of(value, indent));
}

void RunDirectory::append_metrics(const nlohmann::ordered_json& line) {
    CNPD_CHECK(line.contains("epoch") && line["epoch"].is_number_integer(), line.dump());
    keep();
    engine::append_to_file(file(run_files::metrics), text_of(line, -1));
}

void RunDirectory::truncate_metrics(std::int64_t epoch) {
    const fs::path path = run_file(path_, run_files::metrics);
    if (!fs::exists(path)) return;
    const std::string text = engine::read_text_file(path, kMaxMetricsBytes);
    std::string kept;
    for_each_line(text, path, [&](std::string_view line, const nlohmann::ordered_json& value) {
        if (value["epoch"].get<std::int64_t>() <= epoch) kept.append(line).append("\n");
    });
    if (text == kept) return;
    keep();
    engine::write_file_atomically(path, kept);
}

fs::path run_file(const fs::path& run, std::string_view name) {
    fs::path path = run / name;
    std::error_code ignored;
    if (fs::is_symlink(path, ignored))
        throw FileError(path.string(), "is a link", "a file of the run's own");
    return path;
}

nlohmann::ordered_json read_config(const fs::path& run, std::string_view kind) {
    const fs::path path = run_file(run, run_files::config);
    if (!fs::exists(path))
        if (const std::string names = runs_in(run); !names.empty())
            throw FileError(run.string(), "is not a run but contains runs",
                            "one of them: " + names);
    nlohmann::ordered_json config = read_json(path);
    const auto found = config.find("kind");
    if (found == config.end() || (*found != "victim" && *found != "defense"))
        throw FileError(path.string(), "is not the configuration of a run", "\"kind\": \"victim\"");
    if (!kind.empty() && *found != kind)
        throw FileError(run.string(), fmt::format("is the run of a {}", found->get<std::string>()),
                        fmt::format("a {}'s", kind));
    return config;
}

std::string version_of(const nlohmann::ordered_json& config) {
    const auto found = config.find("cnpd");
    return found != config.end() && found->is_string() ? found->get<std::string>() : "0.1.0";
}

std::string absolute(const fs::path& path) {
    return path.empty() ? std::string() : fs::absolute(path).lexically_normal().string();
}

nlohmann::ordered_json read_json(const fs::path& path) {
    return parse_json(engine::read_text_file(path, kMaxJsonBytes), path.string(), "");
}

std::vector<nlohmann::ordered_json> read_metrics(const fs::path& path) {
    std::vector<nlohmann::ordered_json> lines;
    if (!fs::exists(path)) return lines;
    const std::string text = engine::read_text_file(path, kMaxMetricsBytes);
    for_each_line(text, path, [&](std::string_view, nlohmann::ordered_json& value) {
        lines.push_back(std::move(value));
    });
    return lines;
}

std::string metrics_text(const fs::path& run) {
    const fs::path path = run_file(run, run_files::metrics);
    return fs::exists(path) ? engine::read_text_file(path, kMaxMetricsBytes) : std::string();
}

}  // namespace cnpd::store
