#include "datasets/root_folder.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace fs = std::filesystem;

RootFolder::RootFolder(const fs::path& path) {
    std::error_code error;
    canonical_ = fs::canonical(path, error);
    if (error) throw FileError(path.string(), "cannot be opened: " + error.message());
}

std::vector<std::string> RootFolder::list(const fs::path& folder) const {
    constexpr std::size_t kMaxNames = 20'000'000;
    std::error_code error;
    std::vector<std::string> names;
    fs::directory_iterator entry(folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
        std::string name = entry->path().filename().string();
        if (name.starts_with('.')) continue;
        const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
        if (std::any_of(name.begin(), name.end(), is_control))
            throw FileError(folder.string(), "holds the name " + engine::in_quotes(name),
                            "no control characters in names");
        if (entry->is_symlink(error)) check_link(entry->path());
        if (names.size() == kMaxNames)
            throw FileError(folder.string(), fmt::format("holds over {} names", kMaxNames));
        names.push_back(std::move(name));
    }
    if (error) throw FileError(folder.string(), "cannot be listed: " + error.message());
    std::sort(names.begin(), names.end());
    return names;
}

void RootFolder::check_link(const fs::path& path) const {
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

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(path, error);
}

bool is_folder(const fs::path& path) {
    std::error_code error;
    return fs::is_directory(path, error);
}

}  // namespace cnpd::datasets
