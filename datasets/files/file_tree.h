// Where a data set's files are: in a directory, or in archives, which are not unpacked.
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

// Paths are relative to the tree's root and have slashes between their parts; "" is the root.
// Every function throws FileError for unreadable files, links out of a directory, and names with
// control characters or in another encoding than UTF-8.
class FileTree {
  public:
    virtual ~FileTree() = default;

    virtual bool has_file(const std::string& path) const = 0;
    virtual bool has_folder(const std::string& path) const = 0;

    // The names in a folder, in byte order, without those that is_clutter() in names.h skips. They
    // are UTF-8 without control characters.
    virtual std::vector<std::string> list(const std::string& folder) const = 0;

    // What list() has skipped so far: a directory's names in the folders that have been listed, an
    // archive's files.
    virtual Skipped skipped() const = 0;

    struct File {
        std::size_t index;  // among the paths asked for
        std::vector<std::byte> contents;
    };
    using Take = std::function<void(std::span<File>)>;
    // Reads files, each at most `max_bytes` large, in the order that costs least, a batch at a
    // time. A directory's files come in the order asked for.
    virtual void read(const std::vector<std::string>& paths, std::int64_t max_bytes,
                      const Take& take) const = 0;
    static constexpr std::size_t kBatchFiles = 512;
    static constexpr std::int64_t kBatchBytes = 64 << 20;

    // What messages call a path: the tree's own name, a slash, the path.
    virtual std::string full_name(const std::string& path) const = 0;
};

// Of a directory; its own path may go through links.
std::unique_ptr<FileTree> open_directory(const std::filesystem::path& path);

// Of a .zip, .tar.gz or .tar file, recognised by its contents. Nothing is unpacked to disk. Memory
// holds one batch of files, all names, and the .csv and .txt files, so that these cost no second
// pass. Names are UTF-8, whatever the locale.
//
// Throws FileError for any other file, for one that is damaged or encrypted, for entries that are
// neither files nor folders, for names that occur twice or lead out of the tree, and for more than
// kMaxArchiveEntries, kMaxEntryBytes in one or kMaxUnpackedBytes in all. An archive that unpacks to
// over a hundred times its size (and 64 MiB) is taken for a bomb.
std::unique_ptr<FileTree> open_archive(const std::filesystem::path& path);
inline constexpr std::int64_t kMaxArchiveEntries = 2'000'000;
inline constexpr std::int64_t kMaxEntryBytes = 64 << 20;
inline constexpr std::int64_t kMaxUnpackedBytes = std::int64_t{64} << 30;

// One of the two, as the path is a directory or a file.
std::unique_ptr<FileTree> open_file_tree(const std::filesystem::path& path);

// The same for a data set with official archives: where the path is a directory in which
// `is_complete` finds something missing, those of these archives that it holds are opened as well.
std::unique_ptr<FileTree> open_with_archives(
    const std::filesystem::path& path, std::span<const std::string_view> archives,
    const std::function<bool(const FileTree&)>& is_complete);

// Several trees laid over each other; the first that has a file is asked for it. Messages call the
// whole `name`.
std::unique_ptr<FileTree> overlay(std::string name, std::vector<std::unique_ptr<FileTree>> trees);

// One file.
std::vector<std::byte> read_file(const FileTree& tree, const std::string& path,
                                 std::int64_t max_bytes);
std::string read_text_file(const FileTree& tree, const std::string& path, std::int64_t max_bytes);

// "a" and "b" to "a/b", "" and "b" to "b".
std::string join(std::string_view folder, std::string_view name);

// What is in a folder, for messages: `holds "a", "b" and 3 more`.
std::string describe_contents(const FileTree& tree, const std::string& folder);

}  // namespace cnpd::datasets
