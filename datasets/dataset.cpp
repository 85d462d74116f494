#include "datasets/dataset.h"

#include <algorithm>

#include <fmt/format.h>

#include "datasets/cifar10/cifar10.h"
#include "datasets/gtsrb/gtsrb.h"
#include "datasets/image.h"
#include "datasets/image_folder.h"
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

struct Entry {
    DatasetInfo info;
    bool needs_files, resizes;
    Dataset (*load)(const LoadOptions&);
};

constexpr Entry kEntries[] = {
    {{"synthetic", "10 classes of drawn traffic signs, 32x32; needs no files"},
     false,
     false,
     load_synthetic},
    {{"cifar10", "CIFAR-10: binary batches, Python batches or an image folder, or its .tar.gz"},
     true,
     false,
     load_cifar10},
    {{"gtsrb", "German traffic signs, 43 classes, 32x32; its unpacked folders or its .zip files"},
     true,
     true,
     gtsrb::load},
    {{"tiny-imagenet", "Tiny ImageNet, 200 classes, 64x64; its unpacked folder or its .zip file"},
     true,
     true,
     tiny_imagenet::load},
    {{"folder", "images in train/<class>/ and test/<class>/, JPEG, PNG or PPM"},
     true,
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
        throw InputError("a limit of images is negative; expected a count, 0 for all");
    if (options.image_size < 0 || options.image_size > kMaxImageSide)
        throw InputError(fmt::format("an image size of {}; expected 0 (the set's own) to {}",
                                     options.image_size, kMaxImageSide));
    std::string known;
    for (const Entry& entry : kEntries) {
        if (entry.info.name == name) {
            if (entry.needs_files && options.data.empty())
                throw InputError(fmt::format(
                    "--dataset {} needs --data: the directory or archive with its files", name));
            if (!entry.resizes && options.image_size > 0)
                throw InputError(fmt::format(
                    "--dataset {} has images of 32 x 32 pixels and takes no --image-size", name));
            return entry.load(options);
        }
        known.append(known.empty() ? "" : ", ").append(entry.info.name);
    }
    throw InputError(fmt::format("unknown data set '{}'; expected one of: {}", name, known));
}

}  // namespace cnpd::datasets
