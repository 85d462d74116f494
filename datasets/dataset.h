// Labelled images in memory, and the data sets that can be loaded by name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cnpd::datasets {

struct Images {
    std::int64_t n = 0, h = 0, w = 0, c = 0;
    std::vector<std::uint8_t> pixels = {};  // [N,H,W,C]
    std::vector<std::int32_t> labels = {};  // [N], each in [0, classes)
};

// Where a data set's images come from.
struct Origin {
    std::vector<std::int64_t> indices = {};  // in the whole set, before a limit; empty: all kept
    std::vector<std::string> files = {};     // of images that are files, their paths in the data

    std::int64_t index_of(std::int64_t image) const {
        return indices.empty() ? image : indices[image];
    }
};

struct Dataset {
    std::string name;
    std::vector<std::string> class_names;
    Images train, test;
    // Per channel, of pixels in [0,1]: a model's input is (pixel / 255 - mean) / std.
    std::vector<float> mean, std;
    // Training augmentation: crop to the image's own size after padding each side with so many
    // zero pixels, and mirror left-right half of the time.
    std::int64_t crop_padding = 0;
    bool flip = false;
    Origin train_origin = {}, test_origin = {};
    std::vector<std::string> notices = {};  // one line each, for the user
};

struct LoadOptions {
    std::string data = {};   // directory or archive; the synthetic set needs none
    std::uint64_t seed = 0;  // of the synthetic images and of the subsets below
    // Keep at most so many images, drawn at random without replacement; those kept stay in the
    // order they have in the whole set. The synthetic set just draws fewer. 0 keeps all.
    std::int64_t train_limit = 0, test_limit = 0;
    // Resize to a square of so many pixels a side. 0 keeps the set's own size, for `folder` that of
    // the first image.
    std::int64_t image_size = 0;
    // Turn JPEGs upright as their EXIF block says (image.h); otherwise it is ignored.
    bool exif = false;
    // Called now and then while images are decoded, from one thread at a time.
    std::function<void(std::int64_t done, std::int64_t total)> progress = {};
};

struct DatasetInfo {
    std::string_view name, description;
};

// What load() knows, in the order --help shows it.
std::vector<DatasetInfo> registry();

// Reads or generates the data set of that name. Throws InputError for a name that registry() does
// not have or an option out of range, FileError for files that are missing or hold something else
// than they should.
Dataset load(std::string_view name, const LoadOptions& options);

}  // namespace cnpd::datasets
