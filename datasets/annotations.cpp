#include "datasets/annotations.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

void for_each_row(std::string_view table, char separator,
                  const std::function<void(std::span<const std::string_view>, std::int64_t)>& row) {
    if (table.starts_with("\xef\xbb\xbf")) table.remove_prefix(3);
    std::vector<std::string_view> fields;
    for (std::int64_t number = 1; !table.empty(); ++number) {
        const std::size_t end = std::min(table.find('\n'), table.size());
        std::string_view line = table.substr(0, end);
        table.remove_prefix(std::min(end + 1, table.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty()) continue;
        fields.clear();
        for (std::size_t begin = 0; begin <= line.size();) {
            const std::size_t stop = fields.size() == kMostFields
                                         ? line.size()
                                         : std::min(line.find(separator, begin), line.size());
            fields.push_back(line.substr(begin, stop - begin));
            begin = stop + 1;
        }
        row(fields, number);
    }
}

std::int32_t parse_label(std::string_view field, std::int32_t classes, std::string_view table_name,
                         std::int64_t line) {
    std::int32_t label = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), label);
    if (error != std::errc() || end != field.data() + field.size() || label < 0 || label >= classes)
        throw FileError(table_name,
                        fmt::format("line {} has the class {}", line, engine::in_quotes(field)),
                        fmt::format("a number from 0 to {}", classes - 1));
    return label;
}

std::vector<LabelledFile> label_files(const FileTree& tree, const std::string& folder,
                                      const std::vector<std::string>& names,
                                      const std::vector<Annotation>& annotations,
                                      std::string_view table_name) {
    std::map<std::string_view, std::int32_t> labels;
    std::vector<std::string> unknown;
    std::int64_t count = 0;
    for (const auto& [file, label, line] : annotations) {
        if (!std::binary_search(names.begin(), names.end(), file)) {
            if (++count <= std::int64_t{kMostListed})
                unknown.push_back(fmt::format("line {} names {}", line, engine::in_quotes(file)));
            continue;
        }
        if (!labels.emplace(file, label).second)
            throw FileError(table_name,
                            fmt::format("line {} names {} again", line, engine::in_quotes(file)),
                            "each image once");
    }
    if (count > 0)
        throw FileError(table_name, list_of(unknown, count),
                        fmt::format("an image in {}", tree.full_name(folder)));
    std::vector<LabelledFile> files;
    Strangers strangers(tree);
    for (const std::string& name : names) {
        const auto label = labels.find(name);
        if (label == labels.end())
            strangers.add(join(folder, name), "has no annotation",
                          fmt::format("a line for it in {}", table_name));
        else
            files.push_back({join(folder, name), label->second});
    }
    strangers.refuse();
    return files;
}

}  // namespace cnpd::datasets
