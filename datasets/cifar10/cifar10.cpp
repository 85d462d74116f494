#include "datasets/cifar10/cifar10.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "datasets/cifar10/batches.h"
#include "datasets/files/file_tree.h"
#include "datasets/image_folder.h"
#include "datasets/labelled_files.h"
#include "datasets/subset.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets::cifar10 {

namespace {

// Twice the size of the largest official file, so that messages can report a wrong size.
constexpr std::int64_t kMaxFileBytes = 64 << 20;

constexpr std::string_view kArchives[] = {"cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"};

enum class Layout { binary, python, folder };

struct Place {
    std::string folder;
    Layout layout;
};

// True if any batch exists, so that missing batches can be reported by name.
bool holds_batches(const FileTree& tree, const std::string& folder, std::string_view extension) {
    if (tree.has_file(join(folder, fmt::format("test_batch{}", extension)))) return true;
    for (std::int64_t batch = 1; batch <= kBatches; ++batch)
        if (tree.has_file(join(folder, fmt::format("data_batch_{}{}", batch, extension))))
            return true;
    return false;
}

std::optional<Place> find(const FileTree& tree) {
    for (const char* folder : {"", "cifar-10-batches-bin", "cifar-10-batches-py", "cifar10"}) {
        if (holds_batches(tree, folder, ".bin")) return Place{folder, Layout::binary};
        if (holds_batches(tree, folder, "")) return Place{folder, Layout::python};
        if (tree.has_folder(join(folder, "train"))) return Place{folder, Layout::folder};
    }
    return std::nullopt;
}

class Loader {
  public:
    Loader(const LoadOptions& options, const FileTree& tree, Place place,
           std::int64_t images_per_batch)
        : options_(options),
          tree_(tree),
          place_(std::move(place)),
          images_per_batch_(images_per_batch) {}

    Dataset load() {
        // Everything is read in one pass, because a pass over an archive takes a second.
        std::vector<std::string> paths;
        for (const char* name : {"batches.meta.txt", "batches.meta"})
            if (tree_.has_file(join(place_.folder, name)))
                paths.push_back(join(place_.folder, name));
        const std::size_t names = paths.size();
        for (std::int64_t batch = 1; batch <= kBatches; ++batch)
            paths.push_back(path_of(fmt::format("data_batch_{}", batch)));
        paths.push_back(path_of("test_batch"));

        std::vector<Images> batches(kBatches + 1);
        tree_.read(paths, kMaxFileBytes, [&](std::span<FileTree::File> files) {
            for (FileTree::File& file : files) {
                const std::string name = tree_.full_name(paths[file.index]);
                if (file.index < names)
                    check_names(file.contents, name);
                else
                    read_batch(file.contents, name, batches[file.index - names]);
                file.contents = {};
            }
        });
        Dataset set;
        set.test = std::move(batches.back());
        batches.pop_back();
        for (Images& batch : batches) append(std::exchange(batch, {}), set.train);
        limit(set.train, set.train_origin, options_.train_limit, streams::kTrainSubset);
        limit(set.test, set.test_origin, options_.test_limit, streams::kTestSubset);
        note_skipped(tree_, set);
        return set;
    }

  private:
    std::string path_of(const std::string& batch) const {
        return join(place_.folder, place_.layout == Layout::binary ? batch + ".bin" : batch);
    }

    void check_names(std::span<const std::byte> file, const std::string& name) const {
        if (name.ends_with(".txt"))
            read_text_names({reinterpret_cast<const char*>(file.data()), file.size()}, name);
        else
            read_python_names(file, name);
    }

    void read_batch(std::span<const std::byte> file, const std::string& name, Images& images) {
        const auto read = place_.layout == Layout::binary ? read_binary_batch : read_python_batch;
        read(file, name, images_per_batch_, images);
        done_ += images_per_batch_;
        if (options_.progress) options_.progress(done_, (kBatches + 1) * images_per_batch_);
    }

    static void append(const Images& more, Images& images) {
        const std::int64_t before = images.n;
        append_empty(images, more.n);
        std::copy(more.pixels.begin(), more.pixels.end(),
                  images.pixels.begin() + before * kImageBytes);
        std::copy(more.labels.begin(), more.labels.end(), images.labels.begin() + before);
    }

    void limit(Images& images, Origin& origin, std::int64_t limit, std::uint64_t stream) {
        if (limit <= 0 || limit >= images.n) return;
        origin.indices = draw_subset(images.n, limit, options_.seed, stream);
        images = select(images, origin.indices);
    }

    const LoadOptions& options_;
    const FileTree& tree_;
    Place place_;
    std::int64_t images_per_batch_, done_ = 0;
};

Dataset load_folder(const LoadOptions& options, const FileTree& tree, const std::string& folder) {
    LoadOptions sized = options;
    if (sized.image_size == 0) sized.image_size = kSize;
    Dataset set = load_image_folder(tree, folder, sized);
    if (set.class_names.size() != kClassNames.size())
        throw FileError(tree.full_name(join(folder, "train")),
                        fmt::format("holds {} classes", set.class_names.size()),
                        "CIFAR-10's 10 (use --dataset folder for other images)");
    return set;
}

}  // namespace

Dataset load(const LoadOptions& options, std::int64_t images_per_batch) {
    const auto tree = open_with_archives(
        options.data, kArchives, [](const FileTree& files) { return find(files).has_value(); });
    const std::optional<Place> place = find(*tree);
    if (!place)
        throw FileError(tree->full_name(""),
                        "does not contain CIFAR-10; it " + describe_contents(*tree, ""),
                        "data_batch_1.bin, data_batch_1, train/airplane or an official archive");
    Dataset set = place->layout == Layout::folder
                      ? load_folder(options, *tree, place->folder)
                      : Loader(options, *tree, *place, images_per_batch).load();
    set.name = "cifar10";
    set.class_names.assign(kClassNames.begin(), kClassNames.end());
    set.mean = {0.4914f, 0.4822f, 0.4465f};
    set.std = {0.247f, 0.243f, 0.261f};
    set.crop_padding = 4;
    set.flip = true;
    return set;
}

}  // namespace cnpd::datasets::cifar10
