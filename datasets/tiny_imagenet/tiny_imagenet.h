// Tiny ImageNet (Stanford CS231n): 200 of ImageNet's classes at 64x64, with 500 training images
// each and 10,000 validation images. The validation images serve as the test set, because the
// labels of the official test set were never published.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "datasets/annotations.h"
#include "datasets/dataset.h"

namespace cnpd::datasets::tiny_imagenet {

inline constexpr std::int64_t kSize = 64;  // pixels a side

// Reads the directory or archive `options.data`; a directory may also hold the official archive,
// tiny-imagenet-200.zip. The layouts, at the top or inside tiny-imagenet-200/, tiny/ or
// tiny/tiny-imagenet-200/, are
//   wnids.txt                       the classes' WordNet ids such as n01443537, one per line
//   words.txt                       for each id a tab and its names, separated by commas
//   train/<id>/images/ or train/<id>/                      training images
//   val/images/ and val/val_annotations.txt                validation images and their classes, or
//   val/<id>/images/, val/<id>/ or val/images/<id>/        validation images sorted into folders
// Classes are numbered in the order of their ids, as in BackdoorBench. A class is named by the
// first of its names, or by its id if there is no words.txt. Images are in the order of their
// names.
//
// Normalised with the data set's own statistics. Augmentation is a crop with padding 4, without
// mirroring. Throws FileError for any other layout, for images without a class, annotations without
// an image and classes without images.
Dataset load(const LoadOptions& options);

// Readers of single files. `name` is used in messages.

// Sorted ids.
std::vector<std::string> read_ids(std::string_view table, std::string_view name);
// For each id, the first of its names.
std::vector<std::string> read_names(std::string_view table, std::string_view name,
                                    const std::vector<std::string>& ids);
// Lines with an image's name, a tab, its class's id, and possibly a bounding box.
std::vector<Annotation> read_annotations(std::string_view table, std::string_view name,
                                         const std::vector<std::string>& ids);

}  // namespace cnpd::datasets::tiny_imagenet
