// A data set's files, in a directory or in archives, which are not unpacked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/files/names.h"

namespace cnpd::datasets {

// Paths are relative to the tree's root, with slashes as separators; "" is the root. Every function
// throws FileError for unreadable files, links that lead out of a directory, and names that have
// control characters or are not UTF-8.
class FileTree {
  public:
    virtual ~FileTree() = default;

    virtual bool has_file(const std::string& path) const = 0;
    virtual bool has_folder(const std::string& path) const = 0;

    // The names in a folder, in byte order, without those for which is_clutter() in names.h holds.
    // They are UTF-8 without control characters.
    virtual std::vector<std::string> list(const std::string& folder) const = 0;

    // Skipped names: for a directory, those in the folders listed so far; for an archive, all
    // skipped files.
    virtual Skipped skipped() const = 0;

    struct File {
        std::size_t index;  // in `paths`
        std::vector<std::byte> contents;
    };
    using Take = std::function<void(std::span<File>)>;
    // Reads files of at most `max_bytes` each and calls `take` with batches of them. The order is
    // the one that is fastest to read; for a directory it is that of `paths`.
    virtual void read(const std::vector<std::string>& paths, std::int64_t max_bytes,
                      const Take& take) const = 0;
    static constexpr std::size_t kBatchFiles = 512;
    static constexpr std::int64_t kBatchBytes = 64 << 20;

    // A path as messages show it: the tree's own name, a slash, the path.
    virtual std::string full_name(const std::string& path) const = 0;
};

// Opens a directory. Its own path may contain links.
std::unique_ptr<FileTree> open_directory(const std::filesystem::path& path);

// Opens a .zip, .tar.gz or .tar file, recognised by its contents. Nothing is unpacked to disk.
// Memory holds one batch of files, all names, and the .csv and .txt files (up to 64 MiB), so that
// reading these takes no second pass. Names are UTF-8 in any locale.
//
// Throws FileError for other, damaged and encrypted files, for entries that are neither files nor
// folders, for names that occur twice or lead out of the tree, for more than kMaxArchiveEntries
// entries, kMaxEntryBytes in one entry or kMaxUnpackedBytes in total, and for archives that unpack
// to more than a hundred times their size plus 64 MiB.
std::unique_ptr<FileTree> open_archive(const std::filesystem::path& path);
inline constexpr std::int64_t kMaxArchiveEntries = 2'000'000;
inline constexpr std::int64_t kMaxEntryBytes = 64 << 20;
inline constexpr std::int64_t kMaxUnpackedBytes = std::int64_t{64} << 30;

// Opens a directory or an archive.
std::unique_ptr<FileTree> open_file_tree(const std::filesystem::path& path);

// The same for a data set with official archives: if the path is a directory for which
// `is_complete` is false, the archives of these names in it are opened as well.
std::unique_ptr<FileTree> open_with_archives(
    const std::filesystem::path& path, std::span<const std::string_view> archives,
    const std::function<bool(const FileTree&)>& is_complete);

// Merges several trees. If several have a file, the first one's is used. `name` is the root's name
// in messages.
std::unique_ptr<FileTree> overlay(std::string name, std::vector<std::unique_ptr<FileTree>> trees);

// One file.
std::vector<std::byte> read_file(const FileTree& tree, const std::string& path,
                                 std::int64_t max_bytes);
std::string read_text_file(const FileTree& tree, const std::string& path, std::int64_t max_bytes);

// Joins "a" and "b" to "a/b", and "" and "b" to "b".
std::string join(std::string_view folder, std::string_view name);

// A folder's contents for messages: `holds "a", "b" and 3 more`.
std::string describe_contents(const FileTree& tree, const std::string& folder);

}  // namespace cnpd::datasets
