// The folder that a data set is in. Nothing outside it is read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cnpd::datasets {

class RootFolder {
  public:
    // The folder itself may be reached through links. Throws FileError when it is not there.
    explicit RootFolder(const std::filesystem::path& path);

    // The names in a folder below the root, in byte order and without those that begin with a dot.
    // Throws FileError when it cannot be listed, or holds control characters in a name or a
    // symbolic link that leads out of the root.
    std::vector<std::string> list(const std::filesystem::path& folder) const;

    // Throws FileError when the path is a symbolic link that leads out of the root or nowhere.
    void check_link(const std::filesystem::path& path) const;

  private:
    std::filesystem::path canonical_;
};

bool is_there(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);

}  // namespace cnpd::datasets
