#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/files/names.h"
#include "engine/files.h"

namespace cnpd::datasets {

namespace {

constexpr std::size_t kShown = 3;

}  // namespace

void Skipped::keep(std::string_view name) {
    names_.emplace(name);
    if (names_.size() > kShown + 1) names_.erase(std::prev(names_.end()));
}

void Skipped::add(std::string_view name) {
    ++count_;
    // macOS writes a file "._<name>" for each file.
    keep(name.starts_with("._") ? "._*" : name);
}

void Skipped::add(const Skipped& others) {
    count_ += others.count_;
    for (const std::string& name : others.names_) keep(name);
}

std::string Skipped::describe() const {
    std::vector<std::string> shown;
    for (const std::string& name : names_)
        shown.push_back(shown.size() == kShown ? "..."
                        : is_printable(name)   ? name
                                               : engine::in_quotes(name));
    return fmt::format("skipped {} {}, hidden or left by operating systems ({})", count_,
                       count_ == 1 ? "file" : "files", fmt::join(shown, ", "));
}

}  // namespace cnpd::datasets
