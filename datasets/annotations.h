// Text tables that say what images show, and holding them against the images that are there.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/labelled_files.h"

namespace cnpd::datasets {

// What a table may be at most.
inline constexpr std::int64_t kMaxTableBytes = 16 << 20;

// Calls row(fields, line) for every line that is not empty, cut at the separator; line counts from
// 1. Line ends may be Windows', and a byte order mark is passed over. Behind kMostFields there is
// one more field with the rest.
inline constexpr std::size_t kMostFields = 64;
void for_each_row(std::string_view table, char separator,
                  const std::function<void(std::span<const std::string_view>, std::int64_t)>& row);

// A field that has to be a number from 0 to below `classes`; nothing else may be in it.
std::int32_t parse_label(std::string_view field, std::int32_t classes, std::string_view table_name,
                         std::int64_t line);

// One image's row.
struct Annotation {
    std::string file;  // its name
    std::int32_t label;
    std::int64_t line;
};

// The images of a folder, in the order of `names`, with their labels. Throws FileError unless the
// annotations name each of them exactly once and nothing else; the message names several that are
// wrong.
std::vector<LabelledFile> label_files(const FileTree& tree, const std::string& folder,
                                      const std::vector<std::string>& names,
                                      const std::vector<Annotation>& annotations,
                                      std::string_view table_name);

}  // namespace cnpd::datasets
