// The place of a run's files, without the right to do more than read and write them.
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

namespace cnpd::store {

class RunFiles {
  public:
    explicit RunFiles(std::filesystem::path run) : run_(std::move(run)) {}

    // To write to.
    std::filesystem::path out(std::string_view name) const { return run_ / name; }
    // To read from. Throws FileError when it is a link.
    std::filesystem::path in(std::string_view name) const;
    bool has(std::string_view name) const;

  private:
    std::filesystem::path run_;
};

}  // namespace cnpd::store
