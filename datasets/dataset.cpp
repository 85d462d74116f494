#include "datasets/dataset.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "datasets/cifar10/cifar10.h"
#include "datasets/each.h"
#include "datasets/gtsrb/gtsrb.h"
#include "datasets/image.h"
#include "datasets/image_folder.h"
#include "datasets/labelled_files.h"
#include "datasets/synthetic/synthetic.h"
#include "datasets/tiny_imagenet/tiny_imagenet.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {
namespace {

Dataset load_synthetic(const LoadOptions& options) {
    synthetic::Options sizes{.seed = options.seed};
    if (options.train_limit > 0) sizes.train = std::min(sizes.train, options.train_limit);
    if (options.test_limit > 0) sizes.test = std::min(sizes.test, options.test_limit);
    return synthetic::generate(sizes);
}

Dataset load_cifar10(const LoadOptions& options) {
    return cifar10::load(options);
}

// Data sets of one fixed size are loaded at that size and resized here.
void resize_all(Images& images, std::int64_t side) {
    if (images.h == side && images.w == side) return;
    const std::int64_t before = images.h * images.w * images.c, after = side * side * images.c;
    if (images.n > kMaxPixelBytes / after)
        throw InputError(
            fmt::format("{} images of {} x {} pixels; expected at most {} GiB of pixels "
                        "(use a smaller --image-size)",
                        images.n, side, side, kMaxPixelBytes >> 30));
    Images resized{
        .n = images.n, .h = side, .w = side, .c = images.c, .labels = std::move(images.labels)};
    resized.pixels.resize(images.n * after);
    const Failure failure = for_each_index(images.n, [&](std::int64_t i) {
        const auto first = images.pixels.begin() + i * before;
        const Image image{
            .h = images.h, .w = images.w, .c = images.c, .pixels = {first, first + before}};
        std::copy_n(resize(image, side, side).pixels.begin(), after,
                    resized.pixels.begin() + i * after);
    });
    failure.rethrow();
    images = std::move(resized);
}

struct Entry {
    DatasetInfo info;
    bool needs_files;
    Dataset (*load)(const LoadOptions&);
};

constexpr Entry kEntries[] = {
    {{"synthetic", "10 classes of drawn traffic signs, 32x32; needs no files"},
     false,
     load_synthetic},
    {{"cifar10", "CIFAR-10: binary or Python batches, their .tar.gz, or an image folder"},
     true,
     load_cifar10},
    {{"gtsrb",
      "German traffic signs, 43 classes, 32x32; official or Kaggle's folders or .zip files"},
     true,
     gtsrb::load},
    {{"tiny-imagenet", "Tiny ImageNet, 200 classes, 64x64; its unpacked folder or its .zip file"},
     true,
     tiny_imagenet::load},
    {{"folder", "images in train/<class>/ and test/<class>/, JPEG, PNG or PPM"},
     true,
     load_image_folder},
};

}  // namespace

std::vector<DatasetInfo> registry() {
    std::vector<DatasetInfo> infos;
    for (const Entry& entry : kEntries) infos.push_back(entry.info);
    return infos;
}

Dataset load(std::string_view name, const LoadOptions& options) {
    if (options.train_limit < 0 || options.test_limit < 0)
        throw InputError(
            "--train-limit or --test-limit is negative; expected a number of images, or 0 for all");
    if (options.image_size < 0 || options.image_size > kMaxImageSide)
        throw InputError(fmt::format("--image-size {}; expected 0 (the data set's own size) to {}",
                                     options.image_size, kMaxImageSide));
    std::string known;
    for (const Entry& entry : kEntries) {
        if (entry.info.name == name) {
            if (entry.needs_files && options.data.empty())
                throw InputError(fmt::format(
                    "--dataset {} needs --data: the directory or archive with its files", name));
            Dataset set = entry.load(options);
            if (options.image_size > 0)
                for (Images* images : {&set.train, &set.test})
                    resize_all(*images, options.image_size);
            return set;
        }
        known.append(known.empty() ? "" : ", ").append(entry.info.name);
    }
    throw InputError(fmt::format("unknown data set '{}'; expected one of: {}", name, known));
}

}  // namespace cnpd::datasets
