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

// Files and folders that do not belong to a data set, collected so that one message names them.
class Strangers {
  public:
    explicit Strangers(const FileTree& tree) : tree_(tree) {}
    // `is`: "is not an image".
    void add(std::string path, std::string_view is, std::string_view expected);
    // Throws FileError if there are any.
    void refuse() const;

  private:
    struct Stranger {
        std::string path, is, expected;
    };
    const FileTree& tree_;
    std::vector<Stranger> first_;
    std::int64_t count_ = 0;
};

// "a, b and 3 more" of the first texts of `count`.
std::string list_of(const std::vector<std::string>& first, std::int64_t count);
inline constexpr std::size_t kMostListed = 5;

// The names of a folder's images, in byte order. What is neither an image nor a file whose name
// ends in `also` is a stranger. Throws FileError when the folder is empty.
std::vector<std::string> list_images(const FileTree& tree, const std::string& folder,
                                     Strangers& strangers, std::string_view also = {});

struct ImageSize {
    std::int64_t h, w;
    // Every image has to have this size, since the first one decided it; others are resized.
    bool of_all = false;
};

// Decodes the images that options.train_limit and test_limit leave, on all cores, into set.train
// and set.test, and says there where they come from and what the tree has skipped. Those of another
// size are resized. Throws FileError for a bad image and for more than 64 GiB of pixels.
void load_images(const FileTree& tree, LabelledFiles files, ImageSize size,
                 const LoadOptions& options, Dataset& set);
inline constexpr std::int64_t kMaxPixelBytes = std::int64_t{64} << 30;

// Adds a notice of the files that the tree has skipped, if there are any.
void note_skipped(const FileTree& tree, Dataset& set);

}  // namespace cnpd::datasets
