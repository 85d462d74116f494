// A directory as a file tree. Nothing outside it is read.
#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "datasets/each.h"
#include "datasets/files/file_tree.h"
#include "datasets/files/names.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace fs = std::filesystem;

namespace {

class Directory : public FileTree {
  public:
    explicit Directory(fs::path root) : root_(std::move(root)) {
        std::error_code error;
        canonical_ = fs::canonical(root_, error);
        if (error) throw FileError(root_.string(), "cannot be opened: " + error.message());
        if (!fs::is_directory(canonical_, error))
            throw FileError(root_.string(), "is neither a directory nor a file",
                            "a directory or an archive");
    }

    bool has_file(const std::string& path) const override {
        std::error_code error;
        const fs::file_status status = fs::status(root_ / path, error);
        // Broken links count as files, so that reading them reports the error.
        return fs::is_symlink(fs::symlink_status(root_ / path, error))
                   ? !fs::is_directory(status)
                   : fs::exists(status) && !fs::is_directory(status);
    }
    bool has_folder(const std::string& path) const override {
        std::error_code error;
        return fs::is_directory(root_ / path, error);
    }

    std::vector<std::string> list(const std::string& folder) const override;
    void read(const std::vector<std::string>& paths, std::int64_t max_bytes,
              const Take& take) const override;

    Skipped skipped() const override {
        Skipped all;
        for (const auto& [folder, skipped] : skipped_) all.add(skipped);
        return all;
    }

    std::string full_name(const std::string& path) const override {
        return path.empty() ? root_.string() : (root_ / path).string();
    }

  private:
    void check_link(const fs::path& path) const;
    // Checks each part of a path below the root.
    void check_links(const std::string& path) const;

    fs::path root_, canonical_;
    mutable std::map<std::string, Skipped> skipped_;  // by folder, as a folder may be listed twice
};

std::vector<std::string> Directory::list(const std::string& folder) const {
    constexpr std::size_t kMaxNames = 20'000'000;
    check_links(folder);
    std::error_code error;
    std::vector<std::string> names;
    Skipped skipped;
    fs::directory_iterator entry(root_ / folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
        std::string name = entry->path().filename().string();
        if (is_clutter(name)) {
            skipped.add(name);
            continue;
        }
        if (!is_printable(name))
            throw FileError(full_name(folder), "holds the name " + engine::in_quotes(name),
                            kPrintable);
        if (entry->is_symlink(error)) check_link(entry->path());
        if (names.size() == kMaxNames)
            throw FileError(full_name(folder), fmt::format("holds over {} names", kMaxNames));
        names.push_back(std::move(name));
    }
    if (error) throw FileError(full_name(folder), "cannot be listed: " + error.message());
    if (skipped.count() > 0) skipped_[folder] = std::move(skipped);
    std::sort(names.begin(), names.end());
    return names;
}

void Directory::read(const std::vector<std::string>& paths, std::int64_t max_bytes,
                     const Take& take) const {
    for (std::size_t begin = 0; begin < paths.size();) {
        std::vector<File> batch;
        std::int64_t bytes = 0;
        for (; begin < paths.size() && batch.size() < kBatchFiles && bytes < kBatchBytes; ++begin) {
            std::error_code error;
            const auto size = fs::file_size(root_ / paths[begin], error);
            if (!error) bytes += static_cast<std::int64_t>(size);
            batch.push_back({begin, {}});
        }
        const auto count = static_cast<std::int64_t>(batch.size());
        const Failure failure = for_each_index(count, [&](std::int64_t i) {
            const std::string& path = paths[batch[i].index];
            check_links(path);
            batch[i].contents = engine::read_file(root_ / path, max_bytes);
        });
        // Files before the failed one may contain an error, which is reported first.
        if (failure.index > 0) take(std::span(batch).first(failure.index));
        failure.rethrow();
    }
}

void Directory::check_links(const std::string& path) const {
    for (std::size_t end = path.find('/'); !path.empty(); end = path.find('/', end + 1)) {
        check_link(root_ / path.substr(0, end));
        if (end == std::string::npos) return;
    }
}

void Directory::check_link(const fs::path& path) const {
    std::error_code error;
    if (!fs::is_symlink(path, error)) return;
    const fs::path target = fs::canonical(path, error);
    if (error)
        throw FileError(path.string(), "is a link that cannot be followed: " + error.message());
    const auto mismatch =
        std::mismatch(canonical_.begin(), canonical_.end(), target.begin(), target.end());
    if (mismatch.first != canonical_.end())
        throw FileError(path.string(), "is a link to " + engine::in_quotes(target.string()),
                        "a target inside the data folder");
}

}  // namespace

std::unique_ptr<FileTree> open_directory(const fs::path& path) {
    return std::make_unique<Directory>(path);
}

}  // namespace cnpd::datasets
