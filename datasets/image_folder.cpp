#include "datasets/image_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "datasets/image.h"
#include "datasets/root_folder.h"
#include "datasets/subset.h"
#include "engine/files.h"
#include "kernels/common/error.h"
#include "kernels/common/parallel.h"

namespace cnpd::datasets {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMaxBytes = std::int64_t{64} << 30;

bool has_image_name(const std::string& name) {
    std::string extension = fs::path(name).extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    constexpr std::array kExtensions = {".jpg", ".jpeg", ".png", ".ppm"};
    return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

std::vector<std::string> list_classes(const RootFolder& root, const fs::path& split) {
    if (!is_folder(split))
        throw FileError(split.string(), "is missing", "a folder with a sub-folder for each class");
    root.check_link(split);
    std::vector<std::string> classes = root.list(split);
    for (const std::string& name : classes)
        if (!is_folder(split / name))
            throw FileError((split / name).string(), "is no folder",
                            "only a sub-folder for each class");
    if (classes.empty()) throw FileError(split.string(), "is empty", "a sub-folder for each class");
    return classes;
}

// Names the first class that only one of the splits has.
void check_same_classes(const fs::path& data, const std::vector<std::string>& train,
                        const std::vector<std::string>& test) {
    const auto [in_train, in_test] =
        std::mismatch(train.begin(), train.end(), test.begin(), test.end());
    if (in_train == train.end() && in_test == test.end()) return;
    const bool only_train =
        in_test == test.end() || (in_train != train.end() && *in_train < *in_test);
    const char* has = only_train ? "train" : "test";
    throw FileError(data.string(),
                    fmt::format("has class {} in {} only",
                                engine::in_quotes(only_train ? *in_train : *in_test), has),
                    "the same classes in train and test");
}

struct ImageFile {
    fs::path path;
    std::int32_t label;
};

std::vector<ImageFile> list_images(const RootFolder& root, const fs::path& split,
                                   const std::vector<std::string>& classes) {
    std::vector<ImageFile> files;
    for (std::size_t label = 0; label < classes.size(); ++label) {
        const fs::path folder = split / classes[label];
        const std::vector<std::string> names = root.list(folder);
        if (names.empty()) throw FileError(folder.string(), "is empty", "images of this class");
        for (const std::string& name : names) {
            if (!has_image_name(name))
                throw FileError((folder / name).string(), "is no image",
                                "a .jpg, .jpeg, .png or .ppm file");
            files.push_back({folder / name, static_cast<std::int32_t>(label)});
        }
    }
    return files;
}

std::vector<ImageFile> pick(std::vector<ImageFile> files,
                            const std::vector<std::int64_t>& indices) {
    for (std::size_t i = 0; i < indices.size(); ++i)
        if (indices[i] != static_cast<std::int64_t>(i)) files[i] = std::move(files[indices[i]]);
    files.resize(indices.size());
    return files;
}

// The error of the first image that failed, whichever thread came first.
class FirstError {
  public:
    void add(std::int64_t index, std::exception_ptr error) {
        const std::lock_guard lock(mutex_);
        if (!error_ || index < index_) {
            index_ = index;
            error_ = std::move(error);
        }
    }
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    std::mutex mutex_;
    std::int64_t index_ = 0;
    std::exception_ptr error_;
};

class Progress {
  public:
    Progress(const LoadOptions& options, std::int64_t total) : options_(options), total_(total) {}
    void add(std::int64_t count) {
        done_ += count;
        if (options_.progress) options_.progress(done_, total_);
    }

  private:
    const LoadOptions& options_;
    std::int64_t done_ = 0, total_;
};

Images decode(const std::vector<ImageFile>& files, std::int64_t h, std::int64_t w,
              Progress& progress) {
    constexpr std::int64_t kChunk = 1024;  // images between two reports of progress
    const std::int64_t bytes = h * w * 3;
    Images images{.n = static_cast<std::int64_t>(files.size()), .h = h, .w = w, .c = 3};
    images.pixels.resize(images.n * bytes);
    images.labels.resize(images.n);
    for (std::int64_t begin = 0; begin < images.n; begin += kChunk) {
        const std::int64_t count = std::min(kChunk, images.n - begin);
        FirstError failure;
        kernels::parallel_for(count, 8, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = begin + first; i < begin + last; ++i) try {
                    const Image image = resize(load_image(files[i].path), h, w);
                    std::memcpy(images.pixels.data() + i * bytes, image.pixels.data(), bytes);
                    images.labels[i] = files[i].label;
                } catch (...) {
                    return failure.add(i, std::current_exception());
                }
        });
        failure.rethrow();
        progress.add(count);
    }
    return images;
}

}  // namespace

Dataset load_image_folder(const LoadOptions& options) {
    const fs::path data = options.data;
    const RootFolder root(data);
    Dataset set;
    set.name = "folder";
    set.class_names = list_classes(root, data / "train");
    check_same_classes(data, set.class_names, list_classes(root, data / "test"));

    auto train = list_images(root, data / "train", set.class_names);
    auto test = list_images(root, data / "test", set.class_names);
    std::int64_t h = options.image_size, w = options.image_size;
    if (h == 0) {
        const Image first = load_image(train.front().path);
        h = first.h;
        w = first.w;
    }
    const auto pick_some = [&](std::vector<ImageFile> files, std::int64_t limit,
                               std::uint64_t stream) {
        const auto count = static_cast<std::int64_t>(files.size());
        return pick(std::move(files), draw_subset(count, limit, options.seed, stream));
    };
    train = pick_some(std::move(train), options.train_limit, kTrainSubset);
    test = pick_some(std::move(test), options.test_limit, kTestSubset);

    const std::int64_t total = train.size() + test.size();
    if (total > kMaxBytes / (h * w * 3))
        throw FileError(
            data.string(), fmt::format("holds {} images, read as {} x {}", total, w, h),
            fmt::format("at most {} GiB of pixels (a smaller --image-size)", kMaxBytes >> 30));
    Progress progress(options, total);
    set.train = decode(train, h, w, progress);
    set.test = decode(test, h, w, progress);
    set.mean = {0.485f, 0.456f, 0.406f};
    set.std = {0.229f, 0.224f, 0.225f};
    set.crop_padding = h / 8;
    return set;
}

}  // namespace cnpd::datasets
