// Tiny ImageNet (Stanford CS231n): 200 of ImageNet's classes at 64x64, 500 training images of each,
// and 10,000 for validation, which everybody tests on: the test set's labels were never published.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "datasets/annotations.h"
#include "datasets/dataset.h"

namespace cnpd::datasets::tiny_imagenet {

inline constexpr std::int64_t kSize = 64;  // pixels a side

// Reads the directory or archive `options.data`; a directory may also hold the official archive,
// tiny-imagenet-200.zip. In it, and with or without the folder tiny-imagenet-200/ (or tiny/) around
// them, lie
//   wnids.txt                       the classes' WordNet ids, n01443537 and the like, one a line,
//   words.txt                       for each id a tab and its names, with commas between them,
//   train/<id>/images/ or train/<id>/                      training images,
//   val/images/ and val/val_annotations.txt                validation images and their classes, or
//   val/<id>/images/, val/<id>/ or val/images/<id>/        the same sorted into folders.
// Classes are numbered in the order of their ids, as in BackdoorBench, and called by the first of
// their names; without words.txt by their ids. Images are in the order of their names.
//
// Normalised with the set's own statistics; augmented by a crop with padding 4, without mirroring.
// Throws FileError for anything that is not as described, for images without a class, annotations
// without an image and classes without images.
Dataset load(const LoadOptions& options);

// The readers of single files. `name` is for messages.

// Sorted ids.
std::vector<std::string> read_ids(std::string_view table, std::string_view name);
// For each of the ids the first of its names.
std::vector<std::string> read_names(std::string_view table, std::string_view name,
                                    const std::vector<std::string>& ids);
// For each image a line: its name, a tab, its class's id, and possibly a box.
std::vector<Annotation> read_annotations(std::string_view table, std::string_view name,
                                         const std::vector<std::string>& ids);

}  // namespace cnpd::datasets::tiny_imagenet
