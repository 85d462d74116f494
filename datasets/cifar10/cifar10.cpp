#include "datasets/cifar10/cifar10.h"

#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "datasets/image_folder.h"
#include "datasets/root_folder.h"
#include "datasets/subset.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets::cifar10 {

namespace fs = std::filesystem;

namespace {

// Twice what the largest official file holds, so that a wrong size can still be told.
constexpr std::int64_t kMaxFileBytes = 64 << 20;

enum class Layout { binary, python, folder };

struct Place {
    fs::path folder;
    Layout layout;
};

// Any one batch decides, so that a missing one can be reported by name.
bool holds_batches(const fs::path& folder, std::string_view extension) {
    if (is_there(folder / fmt::format("test_batch{}", extension))) return true;
    for (std::int64_t batch = 1; batch <= kBatches; ++batch)
        if (is_there(folder / fmt::format("data_batch_{}{}", batch, extension))) return true;
    return false;
}

Place find(const fs::path& data) {
    for (const char* name : {"", "cifar-10-batches-bin", "cifar-10-batches-py", "cifar10"}) {
        const fs::path folder = *name ? data / name : data;
        if (holds_batches(folder, ".bin")) return {folder, Layout::binary};
        if (holds_batches(folder, "")) return {folder, Layout::python};
        if (is_there(folder / "train")) return {folder, Layout::folder};
    }
    throw FileError(data.string(), is_there(data) ? "holds no CIFAR-10" : "is missing",
                    "a folder with data_batch_1.bin, data_batch_1 or train/airplane");
}

class Loader {
  public:
    Loader(const LoadOptions& options, Place place, std::int64_t images_per_batch)
        : options_(options),
          place_(std::move(place)),
          root_(options.data),
          images_per_batch_(images_per_batch) {}

    Dataset load() {
        Dataset set;
        read_names();
        for (std::int64_t batch = 1; batch <= kBatches; ++batch)
            read(fmt::format("data_batch_{}", batch), set.train);
        read("test_batch", set.test);
        limit(set.train, options_.train_limit, kTrainSubset);
        limit(set.test, options_.test_limit, kTestSubset);
        return set;
    }

  private:
    void read_names() {
        if (const fs::path text = place_.folder / "batches.meta.txt"; is_there(text)) {
            root_.check_link(text);
            read_text_names(engine::read_text_file(text, kMaxFileBytes), text.string());
        }
        if (const fs::path pickle = place_.folder / "batches.meta"; is_there(pickle)) {
            root_.check_link(pickle);
            read_python_names(engine::read_file(pickle, kMaxFileBytes), pickle.string());
        }
    }

    void read(const std::string& name, Images& images) {
        const bool binary = place_.layout == Layout::binary;
        const fs::path path = place_.folder / (binary ? name + ".bin" : name);
        root_.check_link(path);
        const auto file = engine::read_file(path, kMaxFileBytes);
        (binary ? read_binary_batch : read_python_batch)(file, path.string(), images_per_batch_,
                                                         images);
        done_ += images_per_batch_;
        if (options_.progress) options_.progress(done_, (kBatches + 1) * images_per_batch_);
    }

    void limit(Images& images, std::int64_t limit, std::uint64_t stream) {
        if (limit > 0 && limit < images.n)
            images = select(images, draw_subset(images.n, limit, options_.seed, stream));
    }

    const LoadOptions& options_;
    Place place_;
    RootFolder root_;
    std::int64_t images_per_batch_, done_ = 0;
};

Dataset load_folder(const LoadOptions& options, const fs::path& folder) {
    LoadOptions sized = options;
    sized.data = folder.string();
    sized.image_size = kSize;
    Dataset set = load_image_folder(sized);
    if (set.class_names.size() != kClassNames.size())
        throw FileError((folder / "train").string(),
                        fmt::format("holds {} classes", set.class_names.size()),
                        "CIFAR-10's 10 (other images are data set 'folder')");
    return set;
}

}  // namespace

Dataset load(const LoadOptions& options, std::int64_t images_per_batch) {
    const Place place = find(options.data);
    Dataset set = place.layout == Layout::folder ? load_folder(options, place.folder)
                                                 : Loader(options, place, images_per_batch).load();
    set.name = "cifar10";
    set.class_names.assign(kClassNames.begin(), kClassNames.end());
    set.mean = {0.4914f, 0.4822f, 0.4465f};
    set.std = {0.247f, 0.243f, 0.261f};
    set.crop_padding = 4;
    set.flip = true;
    return set;
}

}  // namespace cnpd::datasets::cifar10
