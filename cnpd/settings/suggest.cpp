#include "cnpd/settings/suggest.h"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/common/error.h"

namespace cnpd::settings {
namespace {

// Damerau-Levenshtein distance: letters to change, insert, delete or swap with a neighbour.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before, row(b.size() + 1), next(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        next[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            next[j] = std::min(
                {next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                next[j] = std::min(next[j], before[j - 2] + 1);
        }
        before = row;
        std::swap(row, next);
    }
    return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view written, std::span<const std::string> known) {
    constexpr std::size_t kLongest = 64;  // longer words are not typing errors
    if (written.empty() || written.size() > kLongest) return {};
    std::string best;
    std::size_t best_distance = std::max<std::size_t>(1, written.size() / 3) + 1;
    for (const std::string& name : known) {
        const std::size_t d = distance(written, name);
        if (d >= best_distance) continue;
        best_distance = d;
        best = name;
    }
    if (!best.empty() || written.size() < 3) return best;
    for (const std::string& name : known)
        if (name.starts_with(written) || written.starts_with(name)) return name;
    return best;
}

std::string did_you_mean(std::string_view written, std::span<const std::string> known) {
    const std::string name = nearest(written, known);
    return name.empty() ? "" : fmt::format("; did you mean '{}'?", name);
}

void throw_unknown(std::string_view what, std::string_view written,
                   std::span<const std::string> known) {
    const std::string hint = did_you_mean(written, known);
    throw InputError(fmt::format("unknown {} '{}'{}{} {}", what, written, hint,
                                 hint.empty() ? "; known:" : " Known:", fmt::join(known, ", ")));
}

}  // namespace cnpd::settings
