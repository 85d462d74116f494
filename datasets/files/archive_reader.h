// Reads a .zip, .tar.gz or .tar file entry by entry and validates every entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datasets/files/names.h"

struct archive;
struct archive_entry;

namespace cnpd::datasets {

// Throws FileError for everything that open_archive() in file_tree.h refuses, except names that
// occur twice.
class ArchiveReader {
  public:
    explicit ArchiveReader(const std::filesystem::path& path);

    struct Entry {
        std::string path;  // "train/a/1.png": no "." or "..", no slash at either end
        bool is_folder;
    };
    // The next entry, in the order of the archive; nullopt at the end. Skips files and folders for
    // which is_clutter() in names.h holds, with the folders' contents.
    std::optional<Entry> next();

    // Files skipped so far.
    const Skipped& skipped() const { return skipped_; }

    // The contents of the entry that next() has returned. Throws FileError if they exceed
    // max_bytes, whatever size the archive declares.
    std::vector<std::byte> read(std::int64_t max_bytes);

  private:
    struct Close {
        void operator()(archive* handle) const;
    };
    [[noreturn]] void fail(int status) const;
    bool is_zip() const;
    // nullopt for clutter.
    std::optional<Entry> check(archive_entry* entry);
    void count(std::int64_t bytes);

    std::string name_;
    std::unique_ptr<archive, Close> handle_;
    std::int64_t limit_;         // of bytes after unpacking
    std::int64_t declared_ = 0;  // bytes, of the entries so far
    std::int64_t entries_ = 0;
    Skipped skipped_;
    std::string current_;        // path of the current entry, for messages
    std::int64_t expected_ = 0;  // its declared size, -1 if it has none
};

}  // namespace cnpd::datasets
