// An archive as a file tree.
//
// Opening reads the archive once and keeps the names. read() goes through it again until all
// requested files have been found, so that memory holds at most one batch of files. For a zip the
// first pass reads little more than the table of contents. A .tar.gz is decompressed twice; this
// takes little time compared with decoding its images.
#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "datasets/files/archive_reader.h"
#include "datasets/files/file_tree.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace fs = std::filesystem;

namespace {

bool is_table(std::string_view path) {
    return path.ends_with(".csv") || path.ends_with(".txt");
}

class Archive : public FileTree {
  public:
    explicit Archive(fs::path path);

    bool has_file(const std::string& path) const override {
        return std::binary_search(paths_.begin(), paths_.end(), path);
    }
    bool has_folder(const std::string& path) const override {
        return path.empty() || first_below(path + '/') != paths_.end();
    }
    std::vector<std::string> list(const std::string& folder) const override;
    void read(const std::vector<std::string>& paths, std::int64_t max_bytes,
              const Take& take) const override;
    Skipped skipped() const override { return skipped_; }
    std::string full_name(const std::string& path) const override {
        return path.empty() ? path_.string() : join(path_.string(), path);
    }

  private:
    using Iterator = std::vector<std::string>::const_iterator;
    // The first path that begins with `prefix`, or the end.
    Iterator first_below(const std::string& prefix) const {
        const auto found = std::lower_bound(paths_.begin(), paths_.end(), prefix);
        return found != paths_.end() && found->starts_with(prefix) ? found : paths_.end();
    }
    void check_names() const;

    fs::path path_;
    Skipped skipped_;
    std::vector<std::string> paths_;  // in byte order; folders that have an entry end with /
    std::map<std::string, std::vector<std::byte>, std::less<>> tables_;
};

Archive::Archive(fs::path path) : path_(std::move(path)) {
    constexpr std::int64_t kMaxTableBytes = 64 << 20;  // of all tables together
    std::int64_t kept = 0;
    ArchiveReader reader(path_);
    while (auto entry = reader.next()) {
        if (!entry->is_folder && is_table(entry->path) && kept < kMaxTableBytes) {
            auto contents = reader.read(kMaxEntryBytes);
            kept += static_cast<std::int64_t>(contents.size());
            tables_[entry->path] = std::move(contents);
        }
        paths_.push_back(std::move(entry->path));
        if (entry->is_folder) paths_.back() += '/';
    }
    skipped_ = reader.skipped();
    std::sort(paths_.begin(), paths_.end());
    check_names();
    paths_.erase(std::unique(paths_.begin(), paths_.end()), paths_.end());
}

void Archive::check_names() const {
    for (std::size_t i = 0; i + 1 < paths_.size(); ++i) {
        if (paths_[i].ends_with('/')) continue;
        if (paths_[i] == paths_[i + 1])
            throw FileError(full_name(paths_[i]), "is in the archive twice", "each name once");
        if (has_folder(paths_[i]))
            throw FileError(full_name(paths_[i]), "is in the archive as a file and as a folder",
                            "each name once");
    }
}

std::vector<std::string> Archive::list(const std::string& folder) const {
    const std::string prefix = folder.empty() ? "" : folder + '/';
    std::vector<std::string> names;
    auto path = first_below(prefix);
    while (path != paths_.end() && path->starts_with(prefix)) {
        const std::size_t end = path->find('/', prefix.size());
        std::string name = path->substr(prefix.size(), end - prefix.size());
        // '0' is the character after '/': the search skips all paths in the folder.
        path = end == std::string::npos
                   ? path + 1
                   : std::lower_bound(path, paths_.end(), path->substr(0, end) + '0');
        if (!name.empty()) names.push_back(std::move(name));
    }
    std::sort(names.begin(), names.end());  // "a.b" sorts before "a/", but after "a"
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

void Archive::read(const std::vector<std::string>& paths, std::int64_t max_bytes,
                   const Take& take) const {
    std::unordered_map<std::string_view, std::size_t> wanted;
    std::vector<File> batch;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        if (const auto table = tables_.find(paths[i]); table != tables_.end()) {
            const auto size = static_cast<std::int64_t>(table->second.size());
            if (size > max_bytes)
                throw FileError(full_name(paths[i]), fmt::format("holds {} bytes", size),
                                fmt::format("at most {}", max_bytes));
            batch.push_back({i, table->second});
        } else if (has_file(paths[i])) {
            wanted.emplace(paths[i], i);
        } else {
            throw FileError(full_name(paths[i]), "is missing");
        }
    }
    std::int64_t bytes = 0;
    const auto hand_over = [&] {
        if (!batch.empty()) take(batch);
        batch.clear();
        bytes = 0;
    };
    hand_over();
    if (wanted.empty()) return;
    ArchiveReader reader(path_);
    while (!wanted.empty()) {
        const auto entry = reader.next();
        if (!entry) throw FileError(path_.string(), "has changed while it was being read");
        const auto found = wanted.find(entry->path);
        if (found == wanted.end()) continue;
        batch.push_back({found->second, reader.read(max_bytes)});
        wanted.erase(found);
        bytes += static_cast<std::int64_t>(batch.back().contents.size());
        if (batch.size() == kBatchFiles || bytes >= kBatchBytes) hand_over();
    }
    hand_over();
}

}  // namespace

std::unique_ptr<FileTree> open_archive(const fs::path& path) {
    return std::make_unique<Archive>(path);
}

}  // namespace cnpd::datasets
