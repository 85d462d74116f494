// Several file trees as one.
#include <algorithm>
#include <utility>

#include "datasets/files/file_tree.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {
namespace {

class Overlay : public FileTree {
  public:
    Overlay(std::string name, std::vector<std::unique_ptr<FileTree>> trees)
        : name_(std::move(name)), trees_(std::move(trees)) {}

    bool has_file(const std::string& path) const override { return owner(path) != nullptr; }

    bool has_folder(const std::string& path) const override {
        return std::any_of(trees_.begin(), trees_.end(),
                           [&](const auto& tree) { return tree->has_folder(path); });
    }

    std::vector<std::string> list(const std::string& folder) const override {
        std::vector<std::string> names;
        for (const auto& tree : trees_) {
            if (!tree->has_folder(folder)) continue;
            const auto more = tree->list(folder);
            names.insert(names.end(), more.begin(), more.end());
        }
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        return names;
    }

    void read(const std::vector<std::string>& paths, std::int64_t max_bytes,
              const Take& take) const override {
        std::vector<const FileTree*> owners;
        for (const std::string& path : paths) {
            owners.push_back(owner(path));
            if (!owners.back()) throw FileError(full_name(path), "is missing");
        }
        for (const auto& tree : trees_) {
            std::vector<std::string> own;
            std::vector<std::size_t> indices;
            for (std::size_t i = 0; i < paths.size(); ++i) {
                if (owners[i] != tree.get()) continue;
                own.push_back(paths[i]);
                indices.push_back(i);
            }
            if (own.empty()) continue;
            tree->read(own, max_bytes, [&](std::span<File> files) {
                for (File& file : files) file.index = indices[file.index];
                take(files);
            });
        }
    }

    Skipped skipped() const override {
        Skipped all;
        for (const auto& tree : trees_) all.add(tree->skipped());
        return all;
    }

    std::string full_name(const std::string& path) const override {
        if (const FileTree* tree = owner(path)) return tree->full_name(path);
        for (const auto& tree : trees_)
            if (!path.empty() && tree->has_folder(path)) return tree->full_name(path);
        return join(name_, path);
    }

  private:
    const FileTree* owner(const std::string& path) const {
        for (const auto& tree : trees_)
            if (tree->has_file(path)) return tree.get();
        return nullptr;
    }

    std::string name_;
    std::vector<std::unique_ptr<FileTree>> trees_;
};

}  // namespace

std::unique_ptr<FileTree> overlay(std::string name, std::vector<std::unique_ptr<FileTree>> trees) {
    return std::make_unique<Overlay>(std::move(name), std::move(trees));
}

}  // namespace cnpd::datasets
