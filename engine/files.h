// Reading whole files, and replacing files atomically.
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

// The contents of a regular file. Throws FileError if it cannot be read or is larger than
// max_bytes; the size is checked before memory is allocated.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::int64_t max_bytes);
std::string read_text_file(const std::filesystem::path& path, std::int64_t max_bytes);

// Replaces the file at `path`, or creates it: writes the temporary file ".<name>.tmp" in the same
// directory, syncs it, renames it and syncs the directory. If the process is killed, `path` has all
// of the old contents or all of the new; the next write replaces a temporary file left by a killed
// process. Throws FileError if a step fails (the disk is full, the directory is read-only, another
// process is writing the same file); the temporary file is then removed and the old file unchanged.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
// The same for contents in several pieces, which are concatenated.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> pieces);

// Appends the text to a file, creates the file if needed, and syncs. Throws FileError if that
// fails; the file is then as long as before.
void append_to_file(const std::filesystem::path& path, std::string_view text);

// Creates a directory and its missing parents. Returns the created directories, outermost first.
// Throws FileError.
std::vector<std::filesystem::path> make_directories(const std::filesystem::path& path);

// A lock that one process at a time can hold. It is released when the process ends for any reason.
class FileLock {
  public:
    // Nothing if another process holds it. Throws FileError if the lock file cannot be created.
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

// Text from a file for a message: in double quotes, non-printable and non-ASCII characters escaped,
// truncated.
std::string in_quotes(std::string_view text);

// The stages of write_file_atomically(), for tests that kill the process in one of them.
enum class WriteStage { opened, half_written, written, synced, renamed };
using WriteHook = void (*)(WriteStage, const std::filesystem::path&);
// Called after each stage unless null; it may throw, which is handled like any other failure.
extern std::atomic<WriteHook> write_hook;

}  // namespace cnpd::engine
