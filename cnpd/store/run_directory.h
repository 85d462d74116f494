// The directory of one run: configuration, progress and results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/files.h"

namespace cnpd::store {

// The files of a run directory.
namespace run_files {
inline constexpr const char* config = "config.json";
inline constexpr const char* indices = "indices.json";
inline constexpr const char* metrics = "metrics.jsonl";
// Defenses: the victim's metrics.
inline constexpr const char* victim_metrics = "victim_metrics.jsonl";
inline constexpr const char* result = "result.json";
inline constexpr const char* report = "report.html";
inline constexpr const char* model = "model.safetensors";
inline constexpr const char* polarizer = "polarizer.safetensors";
// Defenses that change all weights.
inline constexpr const char* defended = "defended.safetensors";
inline constexpr const char* checkpoint = "checkpoint.safetensors";
// The trigger's picture, if the user gave one.
inline constexpr const char* pattern = "pattern.png";
}  // namespace run_files

// What to do if the directory already holds a run. With neither, it is refused.
struct ExistingRun {
    bool resume = false;
    bool overwrite = false;
};

// A run directory to write to, locked by one process at a time. Every file is replaced atomically.
class RunDirectory {
  public:
    // Creates the directory if necessary. Throws FileError if that fails, if another process is
    // writing to it, or if it holds a run and `existing` allows neither; throws InputError if both
    // are set. No existing file is changed before keep().
    explicit RunDirectory(const std::filesystem::path& path, const ExistingRun& existing = {});
    // Without keep() or a write, removes the directories that the constructor created.
    ~RunDirectory();
    RunDirectory(const RunDirectory&) = delete;
    RunDirectory& operator=(const RunDirectory&) = delete;

    // Call when the command's input has been checked: keeps the directory and, with `overwrite`,
    // deletes the former run's files. The first write does the same.
    void keep();

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path file(std::string_view name) const { return path_ / name; }
    // True if `resume` is set and config.json exists.
    bool resumes() const;

    void write(std::string_view name, std::string_view bytes);
    void write_json(std::string_view name, const nlohmann::ordered_json& value);
    // Adds one line to metrics.jsonl, an object with an integer "epoch", and syncs.
    void append_metrics(const nlohmann::ordered_json& line);
    // Removes the lines of later epochs and an incomplete last line from metrics.jsonl. Throws
    // FileError for any other damaged line.
    void truncate_metrics(std::int64_t epoch);

  private:
    void refuse_former_run() const;
    void remove_former_run();

    std::filesystem::path path_;
    ExistingRun existing_;
    // Outermost first.
    std::vector<std::filesystem::path> made_;
    std::optional<engine::FileLock> lock_;
    bool kept_ = false, former_removed_ = false;
};

// The path of a run's file to read. Throws FileError for a symbolic link, which could point to a
// file outside the run.
std::filesystem::path run_file(const std::filesystem::path& run, std::string_view name);

// config.json of a run. `kind` is "victim", "defense" or empty for either. Throws FileError for
// another kind.
nlohmann::ordered_json read_config(const std::filesystem::path& run, std::string_view kind = {});

// The version of cnpd that wrote a configuration; the first version if it is not recorded.
std::string version_of(const nlohmann::ordered_json& config);
// The absolute path; an empty path stays empty.
std::string absolute(const std::filesystem::path& path);

// Reads a JSON file of at most 16 MiB and 32 levels. Throws FileError.
nlohmann::ordered_json read_json(const std::filesystem::path& path);
// The lines of a metrics.jsonl without an incomplete last line; none if there is no file. Throws
// FileError unless each is an object with an integer "epoch".
std::vector<nlohmann::ordered_json> read_metrics(const std::filesystem::path& path);
// The text of a run's metrics.jsonl; empty if there is no file. Throws FileError.
std::string metrics_text(const std::filesystem::path& run);

}  // namespace cnpd::store
