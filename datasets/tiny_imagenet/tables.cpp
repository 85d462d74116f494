// The tables of Tiny ImageNet.
#include <algorithm>

#include <fmt/format.h>

#include "datasets/files/names.h"
#include "datasets/tiny_imagenet/tiny_imagenet.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets::tiny_imagenet {

namespace {

bool is_id(std::string_view text) {
    constexpr std::size_t kLength = 9;
    return text.size() == kLength && text[0] == 'n' &&
           std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The index of an id in the sorted list, or the size of the list.
std::size_t find(const std::vector<std::string>& ids, std::string_view id) {
    const auto found = std::lower_bound(ids.begin(), ids.end(), id);
    return found != ids.end() && *found == id ? found - ids.begin() : ids.size();
}

}  // namespace

std::vector<std::string> read_ids(std::string_view table, std::string_view name) {
    constexpr std::size_t kMostClasses = 1000;
    std::vector<std::string> ids;
    for_each_row(table, '\t', [&](std::span<const std::string_view> fields, std::int64_t line) {
        if (fields.size() != 1 || !is_id(fields[0]))
            throw FileError(name, fmt::format("line {} is {}", line, engine::in_quotes(fields[0])),
                            "a WordNet id: n and eight digits");
        if (ids.size() == kMostClasses)
            throw FileError(name, fmt::format("names over {} classes", kMostClasses));
        ids.emplace_back(fields[0]);
    });
    std::sort(ids.begin(), ids.end());
    if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end())
        throw FileError(name, fmt::format("names {} twice", *twice), "each class once");
    if (ids.size() < 2)
        throw FileError(name, fmt::format("names {} classes", ids.size()), "at least two");
    return ids;
}

std::vector<std::string> read_names(std::string_view table, std::string_view name,
                                    const std::vector<std::string>& ids) {
    std::vector<std::string> names(ids.size());
    for_each_row(table, '\t', [&](std::span<const std::string_view> fields, std::int64_t line) {
        if (fields.size() != 2 || !is_id(fields[0]))
            throw FileError(
                name, fmt::format("line {} begins with {}", line, engine::in_quotes(fields[0])),
                "a WordNet id, a tab and names");
        const std::size_t label = find(ids, fields[0]);
        if (label == ids.size()) return;
        const std::string_view first = fields[1].substr(0, fields[1].find(','));
        if (first.empty() || !is_printable(first))
            throw FileError(name, fmt::format("line {} has no printable name", line), kPrintable);
        names[label] = first;
    });
    for (std::size_t label = 0; label < ids.size(); ++label)
        if (names[label].empty())
            throw FileError(name, fmt::format("does not name {}", ids[label]),
                            "a line for each class");
    return names;
}

std::vector<Annotation> read_annotations(std::string_view table, std::string_view name,
                                         const std::vector<std::string>& ids) {
    std::vector<Annotation> annotations;
    for_each_row(table, '\t', [&](std::span<const std::string_view> fields, std::int64_t line) {
        if (fields.size() < 2)
            throw FileError(name, fmt::format("line {} has no tab", line),
                            "an image's name, a tab and its class");
        const std::size_t label = find(ids, fields[1]);
        if (label == ids.size())
            throw FileError(
                name, fmt::format("line {} has the class {}", line, engine::in_quotes(fields[1])),
                "one of wnids.txt");
        annotations.push_back({std::string(fields[0]), static_cast<std::int32_t>(label), line});
    });
    return annotations;
}

}  // namespace cnpd::datasets::tiny_imagenet
