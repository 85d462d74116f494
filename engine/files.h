// Reading whole files, and replacing files so that no reader finds half of one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd::engine {

// The contents of a regular file. Throws FileError when it cannot be read or is larger than
// max_bytes; the size is checked before anything is allocated.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::int64_t max_bytes);
std::string read_text_file(const std::filesystem::path& path, std::int64_t max_bytes);

// Replaces the file at `path`, or creates it: writes ".<name>.tmp" beside it, syncs that, renames
// it and syncs the directory. Whenever the process dies, `path` holds all of the old contents or
// all of the new; a temporary file left by a killed process is replaced by the next write. Throws
// FileError when something fails (the disk is full, the directory read-only, another process is
// writing the same file); the temporary file is then gone and the old file as it was.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
// The same for contents that are the pieces one after the other.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> pieces);

// Adds the text to the end of a file, creating it if need be, and syncs. Throws FileError when that
// fails; the file then ends where it ended before.
void append_to_file(const std::filesystem::path& path, std::string_view text);

// Makes a directory and what is missing above it. Returns what it made, outermost first. Throws
// FileError.
std::vector<std::filesystem::path> make_directories(const std::filesystem::path& path);

// A lock that one process at a time can hold. It goes when the process ends, however that happens.
class FileLock {
  public:
    // Nothing when someone else holds it. Throws FileError when the lock file cannot be made.
    static std::optional<FileLock> try_lock(const std::filesystem::path& path);
    FileLock(FileLock&& other) noexcept;
    FileLock& operator=(FileLock&&) = delete;
    // Removes the lock file.
    ~FileLock();

  private:
    FileLock(std::filesystem::path path, int descriptor);
    std::filesystem::path path_;
    int descriptor_;
};

// Text from a file, fit for a message: in double quotes, all but printable ASCII escaped, cut
// short.
std::string in_quotes(std::string_view text);

// The stages of write_file_atomically(), for tests that kill the process in one of them.
enum class WriteStage { opened, half_written, written, synced, renamed };
using WriteHook = void (*)(WriteStage, const std::filesystem::path&);
// Called after each stage unless null; it may throw, which is a failure like any other.
extern std::atomic<WriteHook> write_hook;

}  // namespace cnpd::engine
