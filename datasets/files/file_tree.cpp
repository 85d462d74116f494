#include "datasets/files/file_tree.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace fs = std::filesystem;

std::unique_ptr<FileTree> open_file_tree(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found) throw FileError(path.string(), "is missing");
    if (fs::is_regular_file(status)) return open_archive(path);
    return open_directory(path);
}

std::unique_ptr<FileTree> open_with_archives(
    const fs::path& path, std::span<const std::string_view> archives,
    const std::function<bool(const FileTree&)>& is_complete) {
    std::vector<std::unique_ptr<FileTree>> trees;
    trees.push_back(open_file_tree(path));
    if (is_complete(*trees.front())) return std::move(trees.front());
    for (const std::string_view name : archives) {
        std::error_code error;
        const fs::path archive = path / name;
        const fs::file_status status = fs::symlink_status(archive, error);
        if (fs::is_symlink(status))
            throw FileError(archive.string(), "is a link", "the archive itself");
        if (fs::is_regular_file(status)) trees.push_back(open_archive(archive));
    }
    return trees.size() == 1 ? std::move(trees.front()) : overlay(path.string(), std::move(trees));
}

std::vector<std::byte> read_file(const FileTree& tree, const std::string& path,
                                 std::int64_t max_bytes) {
    std::vector<std::byte> contents;
    tree.read({path}, max_bytes, [&](std::span<FileTree::File> files) {
        contents = std::move(files.front().contents);
    });
    return contents;
}

std::string read_text_file(const FileTree& tree, const std::string& path, std::int64_t max_bytes) {
    const auto bytes = read_file(tree, path, max_bytes);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string join(std::string_view folder, std::string_view name) {
    return folder.empty() ? std::string(name) : fmt::format("{}/{}", folder, name);
}

std::string describe_contents(const FileTree& tree, const std::string& folder) {
    constexpr std::size_t kShown = 4;
    const auto names = tree.list(folder);
    if (names.empty()) return "is empty";
    std::string text = "holds ";
    for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
        text += fmt::format("{}{}", i == 0 ? "" : ", ", engine::in_quotes(names[i]));
    if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
    return text;
}

}  // namespace cnpd::datasets
