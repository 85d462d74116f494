// Image files with labels: selecting and decoding them.
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

// Whether the extension is that of a JPEG, PNG or PPM file, in any case.
bool has_image_name(const std::string& name);

// Unexpected files and folders, collected so that one message lists them.
class Strangers {
  public:
    explicit Strangers(const FileTree& tree) : tree_(tree) {}
    // `is` says what is wrong, for example "is not an image".
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

// "a, b and 3 more": the first of `count` texts, and the number of the others.
std::string list_of(const std::vector<std::string>& first, std::int64_t count);
inline constexpr std::size_t kMostListed = 5;

// The names of a folder's images, in byte order. Names that end in `also` are skipped; all others
// that are not images are added to `strangers`. Throws FileError if the folder is empty.
std::vector<std::string> list_images(const FileTree& tree, const std::string& folder,
                                     Strangers& strangers, std::string_view also = {});

struct ImageSize {
    std::int64_t h, w;
    // true: this is the first image's size, and images of other sizes are refused; false: they are
    // resized.
    bool of_all = false;
};

// Selects images by options.train_limit and test_limit and decodes them on all cores into set.train
// and set.test. Also sets the origins, and adds a notice of skipped files. Throws FileError for an
// invalid image and for more than 64 GiB of pixels, InputError for an image of the wrong size.
void load_images(const FileTree& tree, LabelledFiles files, ImageSize size,
                 const LoadOptions& options, Dataset& set);
inline constexpr std::int64_t kMaxPixelBytes = std::int64_t{64} << 30;

// Adds a notice if the tree has skipped files.
void note_skipped(const FileTree& tree, Dataset& set);

}  // namespace cnpd::datasets
