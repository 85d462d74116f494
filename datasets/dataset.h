// Labelled images in memory, and loading of data sets by name.
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
    std::vector<std::int64_t> indices = {};  // in the whole split, before a limit; empty: all kept
    std::vector<std::string> files = {};     // paths in the data, if images are files

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
    // Training augmentation: pad each side with crop_padding zero pixels and crop at random to the
    // original size; with `flip`, mirror left-right with probability 1/2.
    std::int64_t crop_padding = 0;
    bool flip = false;
    Origin train_origin = {}, test_origin = {};
    std::vector<std::string> notices = {};  // messages for the user, one line each
};

struct LoadOptions {
    std::string data = {};   // directory or archive; the synthetic set needs none
    std::uint64_t seed = 0;  // of the synthetic images and of the subsets below
    // Keep at most this many images, drawn at random without replacement and kept in their original
    // order. The synthetic set generates fewer images instead. 0 keeps all.
    std::int64_t train_limit = 0, test_limit = 0;
    // Resize to a square with sides of this many pixels. 0 keeps the data set's own size; for
    // `folder`, this is the size of the first image.
    std::int64_t image_size = 0;
    // Apply the EXIF orientation of JPEGs (image.h); otherwise it is ignored.
    bool exif = false;
    // Called after each batch of decoded images, from one thread at a time.
    std::function<void(std::int64_t done, std::int64_t total)> progress = {};
};

struct DatasetInfo {
    std::string_view name, description;
};

// The data sets that load() knows, in the order of --help.
std::vector<DatasetInfo> registry();

// Reads or generates a data set. Throws InputError for an unknown name or an option out of range,
// FileError for missing files and invalid contents.
Dataset load(std::string_view name, const LoadOptions& options);

}  // namespace cnpd::datasets
