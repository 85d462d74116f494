// Paths of a run's files, for code that only reads and writes single files.
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

namespace cnpd::store {

class RunFiles {
  public:
    explicit RunFiles(std::filesystem::path run) : run_(std::move(run)) {}

    // Path for writing.
    std::filesystem::path out(std::string_view name) const { return run_ / name; }
    // Path for reading. Throws FileError for a symbolic link.
    std::filesystem::path in(std::string_view name) const;
    bool has(std::string_view name) const;

  private:
    std::filesystem::path run_;
};

}  // namespace cnpd::store
