#include "datasets/class_names.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace {

bool is_number(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view without_zeros(std::string_view digits) {
    return digits.substr(std::min(digits.find_first_not_of('0'), digits.size() - 1));
}

// The edit distance (insertions, deletions, substitutions), ignoring case.
std::size_t distance(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (lower(a[i]) != lower(b[j]));
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

// Up to three names that have a small edit distance to `name` or begin with it, the closest first.
std::vector<std::string> close_names(std::span<const std::string> names, std::string_view name) {
    constexpr std::size_t kShown = 3, kLongest = 200;
    if (name.size() > kLongest) return {};
    std::vector<std::pair<std::size_t, std::string_view>> close;
    for (const std::string& known : names) {
        if (known.size() > kLongest) continue;
        const std::size_t letters = distance(known, name);
        const bool begins = name.size() > 1 && known.size() > name.size() &&
                            distance(std::string_view(known).substr(0, name.size()), name) == 0;
        if (letters <= std::max<std::size_t>(1, name.size() / 3) || begins)
            close.emplace_back(letters, known);
    }
    std::sort(close.begin(), close.end());
    close.resize(std::min(close.size(), kShown));
    std::vector<std::string> result;
    for (const auto& [letters, known] : close) result.push_back(engine::in_quotes(known));
    return result;
}

}  // namespace

void sort_class_names(std::vector<std::string>& names) {
    if (!std::all_of(names.begin(), names.end(), [](const auto& name) { return is_number(name); }))
        return std::sort(names.begin(), names.end());
    // Numbers may have any length: the one with more digits is larger.
    const auto key = [](const std::string& name) {
        const std::string_view digits = without_zeros(name);
        return std::tuple(digits.size(), digits, std::string_view(name));
    };
    std::sort(names.begin(), names.end(),
              [&](const auto& a, const auto& b) { return key(a) < key(b); });
}

std::int32_t class_index(std::span<const std::string> class_names,
                         std::string_view name_or_number) {
    const auto found = std::find(class_names.begin(), class_names.end(), name_or_number);
    const std::size_t last = class_names.size() - 1;
    if (is_number(name_or_number) && without_zeros(name_or_number) == name_or_number) {
        std::size_t index = 0;
        const char* end = name_or_number.data() + name_or_number.size();
        const auto [stop, error] = std::from_chars(name_or_number.data(), end, index);
        if (error == std::errc() && index <= last) return static_cast<std::int32_t>(index);
        throw InputError(fmt::format(
            "class {}: classes are 0 to {}{}", name_or_number, last,
            found == class_names.end()
                ? ""
                : fmt::format(", and the class of this name is {}", found - class_names.begin())));
    }
    if (found != class_names.end()) return static_cast<std::int32_t>(found - class_names.begin());
    const auto close = close_names(class_names, name_or_number);
    throw InputError(fmt::format(
        "unknown class {}{}", engine::in_quotes(name_or_number),
        close.empty() ? fmt::format("; expected a number from 0 to {} or a name, such as {}", last,
                                    engine::in_quotes(class_names.front()))
                      : fmt::format("; did you mean {}?", fmt::join(close, " or "))));
}

}  // namespace cnpd::datasets
