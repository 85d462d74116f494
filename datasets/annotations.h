// Text tables with the labels of images, and checks that tables and images match.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/labelled_files.h"

namespace cnpd::datasets {

// The largest table that is read.
inline constexpr std::int64_t kMaxTableBytes = 16 << 20;

// Splits every non-empty line at the separator and calls row(fields, line), with lines numbered
// from 1. Line ends may be LF or CRLF; a byte order mark is skipped. If a line has more than
// kMostFields fields, the field after them holds the rest of the line.
inline constexpr std::size_t kMostFields = 64;
void for_each_row(std::string_view table, char separator,
                  const std::function<void(std::span<const std::string_view>, std::int64_t)>& row);

// The label in a field. Throws FileError unless the field is a number in [0, classes) and nothing
// else.
std::int32_t parse_label(std::string_view field, std::int32_t classes, std::string_view table_name,
                         std::int64_t line);

// A row of a table.
struct Annotation {
    std::string file;  // the image's name
    std::int32_t label;
    std::int64_t line;
};

// The images of a folder with their labels, in the order of `names`, which has to be sorted. Throws
// FileError for images without a row, rows without an image and images with several rows; the
// message lists the first of them.
std::vector<LabelledFile> label_files(const FileTree& tree, const std::string& folder,
                                      const std::vector<std::string>& names,
                                      const std::vector<Annotation>& annotations,
                                      std::string_view table_name);

}  // namespace cnpd::datasets
