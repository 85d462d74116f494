// Goes through a .zip, .tar.gz or .tar file, entry by entry, and trusts none of them.
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

// Throws FileError for everything that open_archive() in file_tree.h refuses and that can be seen
// without remembering earlier entries.
class ArchiveReader {
  public:
    explicit ArchiveReader(const std::filesystem::path& path);

    struct Entry {
        std::string path;  // "train/a/1.png": no "." or "..", no slash at either end
        bool is_folder;
    };
    // The next entry, in the order of the archive; nothing at the end. Names that is_clutter() in
    // names.h skips are passed over, and so is everything in folders of such a name.
    std::optional<Entry> next();

    // Files passed over so far.
    const Skipped& skipped() const { return skipped_; }

    // The contents of the entry that next() has returned. Throws FileError when it has more than
    // max_bytes, whatever the archive says of it.
    std::vector<std::byte> read(std::int64_t max_bytes);

  private:
    struct Close {
        void operator()(archive* handle) const;
    };
    [[noreturn]] void fail(int status) const;
    bool is_zip() const;
    // Nothing for clutter.
    std::optional<Entry> check(archive_entry* entry);
    void count(std::int64_t bytes);

    std::string name_;
    std::unique_ptr<archive, Close> handle_;
    std::int64_t limit_;         // of bytes after unpacking
    std::int64_t declared_ = 0;  // so far
    std::int64_t entries_ = 0;
    Skipped skipped_;
    std::string current_;        // entry, for messages
    std::int64_t expected_ = 0;  // its declared size, -1 where it has none
};

}  // namespace cnpd::datasets
