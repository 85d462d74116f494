// The tables of GTSRB and the names of its classes.
#include <algorithm>

#include <fmt/format.h>

#include "datasets/gtsrb/gtsrb.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets::gtsrb {

const std::array<std::string_view, kClasses> kClassNames = {
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no passing",
    "no passing for trucks",
    "priority at next intersection",
    "priority road",
    "yield",
    "stop",
    "no vehicles",
    "no trucks",
    "no entry",
    "general caution",
    "curve left",
    "curve right",
    "double curve",
    "bumpy road",
    "slippery road",
    "road narrows on the right",
    "road work",
    "traffic signals",
    "pedestrians",
    "children crossing",
    "bicycles crossing",
    "ice or snow",
    "wild animals",
    "end of all limits",
    "turn right ahead",
    "turn left ahead",
    "ahead only",
    "straight or right",
    "straight or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no passing",
    "end of no passing for trucks",
};

std::vector<Annotation> read_table(std::string_view table, std::string_view name) {
    constexpr std::array<std::string_view, 8> kColumns = {
        "Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"};
    bool has_header = false;
    std::vector<Annotation> annotations;
    for_each_row(table, ';', [&](std::span<const std::string_view> fields, std::int64_t line) {
        if (!has_header) {
            if (!std::equal(fields.begin(), fields.end(), kColumns.begin(), kColumns.end()))
                throw FileError(
                    name,
                    fmt::format("line {} begins with {}{}", line, engine::in_quotes(fields.front()),
                                fields.back() == kColumns.back()
                                    ? ""
                                    : " and has no column ClassId at its end"),
                    fmt::format("{}", fmt::join(kColumns, ";")));
            has_header = true;
            return;
        }
        if (fields.size() != kColumns.size())
            throw FileError(name, fmt::format("line {} has {} fields", line, fields.size()),
                            fmt::format("{}, separated by semicolons", kColumns.size()));
        annotations.push_back(
            {std::string(fields.front()), parse_label(fields.back(), kClasses, name, line), line});
    });
    if (!has_header) throw FileError(name, "is empty", fmt::format("{}", fmt::join(kColumns, ";")));
    return annotations;
}

std::vector<Annotation> read_kaggle_table(std::string_view table, std::string_view name) {
    constexpr std::string_view kColumns = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path";
    std::size_t columns = 0, label = 0, path = 0;
    std::vector<Annotation> annotations;
    for_each_row(table, ',', [&](std::span<const std::string_view> fields, std::int64_t line) {
        if (columns == 0) {
            const auto place_of = [&](std::string_view column) {
                const auto found = std::find(fields.begin(), fields.end(), column);
                if (found == fields.end() || std::count(found, fields.end(), column) > 1)
                    throw FileError(
                        name,
                        fmt::format("line {} begins with {} and has {} column {}", line,
                                    engine::in_quotes(fields.front()),
                                    found == fields.end() ? "no" : "more than one", column),
                        kColumns);
                return static_cast<std::size_t>(found - fields.begin());
            };
            label = place_of("ClassId");
            path = place_of("Path");
            columns = fields.size();
            return;
        }
        if (fields.size() != columns)
            throw FileError(name, fmt::format("line {} has {} fields", line, fields.size()),
                            fmt::format("{}, separated by commas", columns));
        annotations.push_back(
            {std::string(fields[path]), parse_label(fields[label], kClasses, name, line), line});
    });
    if (columns == 0) throw FileError(name, "is empty", kColumns);
    return annotations;
}

}  // namespace cnpd::datasets::gtsrb
