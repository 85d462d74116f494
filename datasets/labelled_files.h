// Pictures in a file tree and what they show: choosing among them and decoding them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/files/file_tree.h"

namespace cnpd::datasets {

struct LabelledFile {
    std::string path;  // in the tree
    std::int32_t label;
};

struct LabelledFiles {
    std::vector<LabelledFile> train, test;
};

// Whether the name ends as those of JPEG, PNG and PPM files do.
bool has_image_name(const std::string& name);

// The names of a folder's images, in byte order. Throws FileError when there are none, or anything
// else than images and files whose name ends in `also`.
std::vector<std::string> list_images(const FileTree& tree, const std::string& folder,
                                     std::string_view also = {});

struct ImageSize {
    std::int64_t h, w;
    // Every image has to have this size, since the first one decided it; others are resized.
    bool of_all = false;
};

// Decodes the images that options.train_limit and test_limit leave, on all cores, into set.train
// and set.test. Those of another size are resized. Throws FileError for a bad image and for more
// than 64 GiB of pixels.
void load_images(const FileTree& tree, LabelledFiles files, ImageSize size,
                 const LoadOptions& options, Dataset& set);

}  // namespace cnpd::datasets
