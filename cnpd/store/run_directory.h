// The directory of one run: what it was asked, what it has reached, what came out.
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
// Of a defense: its victim's metrics.
inline constexpr const char* victim_metrics = "victim_metrics.jsonl";
inline constexpr const char* result = "result.json";
inline constexpr const char* report = "report.html";
inline constexpr const char* model = "model.safetensors";
inline constexpr const char* polarizer = "polarizer.safetensors";
// Of a defense that changes all weights.
inline constexpr const char* defended = "defended.safetensors";
inline constexpr const char* checkpoint = "checkpoint.safetensors";
// The picture that a trigger is made of, if the user gave one.
inline constexpr const char* pattern = "pattern.png";
}  // namespace run_files

// What to do when the directory holds a run already: with neither, it is refused.
struct ExistingRun {
    bool resume = false;
    bool overwrite = false;
};

// A run directory to write to, held by one process at a time. Every file is replaced atomically.
class RunDirectory {
  public:
    // Makes the directory if need be. Throws FileError when that fails, when another process is
    // writing to it, or when it holds a run and that is to be refused, and InputError when it is to
    // be both resumed and overwritten. Nothing in it is touched before keep().
    explicit RunDirectory(const std::filesystem::path& path, const ExistingRun& existing = {});
    // Without keep() or a write, removes what the constructor made.
    ~RunDirectory();
    RunDirectory(const RunDirectory&) = delete;
    RunDirectory& operator=(const RunDirectory&) = delete;

    // The command's input is good: from here the directory stays. To be overwritten, the
    // files of the former run go. The first write does the same.
    void keep();

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path file(std::string_view name) const { return path_ / name; }
    // There is a run to go on with: it is to be resumed, and config.json is there.
    bool resumes() const;

    void write(std::string_view name, std::string_view bytes);
    void write_json(std::string_view name, const nlohmann::ordered_json& value);
    // Adds one line to metrics.jsonl, an object with an integer "epoch", and syncs.
    void append_metrics(const nlohmann::ordered_json& line);
    // Cuts metrics.jsonl back to the lines of the epochs up to this one. A last line that was only
    // half written goes. Throws FileError when another line is damaged.
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

// The path of a run's file to read. Throws FileError when it is a link: a run holds its files
// itself, and what it is made to point at is nobody's business.
std::filesystem::path run_file(const std::filesystem::path& run, std::string_view name);

// config.json of a run of this kind, "victim" or "defense", or of either. Throws FileError.
nlohmann::ordered_json read_config(const std::filesystem::path& run, std::string_view kind = {});

// The version of cnpd that wrote a configuration; the first one if it does not say.
std::string version_of(const nlohmann::ordered_json& config);
// A path as it is found from any directory; the empty one stays empty.
std::string absolute(const std::filesystem::path& path);

// Reads a JSON file of at most 16 MiB and 32 levels. Throws FileError.
nlohmann::ordered_json read_json(const std::filesystem::path& path);
// The lines of a metrics.jsonl but for a last one without its end; none when there is no file.
// Throws FileError unless each is an object with an integer "epoch".
std::vector<nlohmann::ordered_json> read_metrics(const std::filesystem::path& path);
// The text of a run's metrics.jsonl, to be kept with another run; empty when there is no file.
// Throws FileError.
std::string metrics_text(const std::filesystem::path& run);

}  // namespace cnpd::store
