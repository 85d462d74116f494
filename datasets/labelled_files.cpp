#include "datasets/labelled_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/each.h"
#include "datasets/image.h"
#include "datasets/subset.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace {

std::vector<LabelledFile> pick(std::vector<LabelledFile> files,
                               const std::vector<std::int64_t>& indices) {
    for (std::size_t i = 0; i < indices.size(); ++i)
        if (indices[i] != static_cast<std::int64_t>(i)) files[i] = std::move(files[indices[i]]);
    files.resize(indices.size());
    return files;
}

Images room_for(const std::vector<LabelledFile>& files, ImageSize size) {
    Images images{.n = static_cast<std::int64_t>(files.size()), .h = size.h, .w = size.w, .c = 3};
    images.pixels.resize(images.n * images.h * images.w * images.c);
    for (const LabelledFile& file : files) images.labels.push_back(file.label);
    return images;
}

Image sized(Image image, const ImageSize& size, const std::string& name) {
    if (size.of_all && (image.h != size.h || image.w != size.w))
        throw InputError(fmt::format(
            "{} has {} x {} pixels, the first image has {} x {}; give --image-size to resize all",
            name, image.w, image.h, size.w, size.h));
    return resize(image, size.h, size.w);
}

}  // namespace

bool has_image_name(const std::string& name) {
    std::string extension = std::filesystem::path(name).extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    constexpr std::array kExtensions = {".jpg", ".jpeg", ".png", ".ppm"};
    return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

std::vector<std::string> list_images(const FileTree& tree, const std::string& folder,
                                     Strangers& strangers, std::string_view also) {
    std::vector<std::string> names = tree.list(folder);
    if (!also.empty()) std::erase_if(names, [&](const auto& name) { return name.ends_with(also); });
    if (names.empty()) throw FileError(tree.full_name(folder), "is empty", "images");
    std::erase_if(names, [&](const std::string& name) {
        if (has_image_name(name)) return false;
        strangers.add(join(folder, name), "is not an image", "a .jpg, .jpeg, .png or .ppm file");
        return true;
    });
    return names;
}

std::string list_of(const std::vector<std::string>& first, std::int64_t count) {
    const std::int64_t more = count - std::ssize(first);
    return more > 0 ? fmt::format("{} and {} more", fmt::join(first, ", "), more)
                    : fmt::format("{}", fmt::join(first, ", "));
}

void Strangers::add(std::string path, std::string_view is, std::string_view expected) {
    ++count_;
    if (first_.size() < kMostListed)
        first_.push_back({std::move(path), std::string(is), std::string(expected)});
}

void Strangers::refuse() const {
    if (count_ == 0) return;
    if (count_ == 1)
        throw FileError(tree_.full_name(first_[0].path), first_[0].is, first_[0].expected);
    std::vector<std::string> names;
    for (const auto& [path, is, expected] : first_)
        names.push_back(fmt::format("{} {}", engine::in_quotes(path), is));
    throw FileError(
        tree_.full_name(""),
        fmt::format("holds {} unexpected files or folders: {}", count_, list_of(names, count_)),
        first_[0].expected);
}

void note_skipped(const FileTree& tree, Dataset& set) {
    if (const Skipped skipped = tree.skipped(); skipped.count() > 0)
        set.notices.push_back(fmt::format("{}: {}", tree.full_name(""), skipped.describe()));
}

void load_images(const FileTree& tree, LabelledFiles files, ImageSize size,
                 const LoadOptions& options, Dataset& set) {
    const auto pick_some = [&](std::vector<LabelledFile>& all, std::int64_t limit,
                               std::uint64_t stream) {
        const auto count = static_cast<std::int64_t>(all.size());
        Origin origin{.indices = draw_subset(count, limit, options.seed, stream)};
        all = pick(std::move(all), origin.indices);
        for (const LabelledFile& file : all) origin.files.push_back(file.path);
        return origin;
    };
    set.train_origin = pick_some(files.train, options.train_limit, streams::kTrainSubset);
    set.test_origin = pick_some(files.test, options.test_limit, streams::kTestSubset);
    note_skipped(tree, set);

    const auto total = static_cast<std::int64_t>(files.train.size() + files.test.size());
    const std::int64_t bytes = size.h * size.w * 3;
    if (total > kMaxPixelBytes / bytes)
        throw FileError(tree.full_name(""),
                        fmt::format("holds {} images, read as {} x {}", total, size.w, size.h),
                        fmt::format("at most {} GiB of pixels (use a smaller --image-size)",
                                    kMaxPixelBytes >> 30));
    set.train = room_for(files.train, size);
    set.test = room_for(files.test, size);

    std::vector<std::string> paths;
    for (const auto* split : {&files.train, &files.test})
        for (const LabelledFile& file : *split) paths.push_back(file.path);
    const auto place = [&](std::size_t index) {
        Images& images = index < files.train.size() ? set.train : set.test;
        if (index >= files.train.size()) index -= files.train.size();
        return images.pixels.data() + static_cast<std::int64_t>(index) * bytes;
    };
    std::int64_t done = 0;
    tree.read(paths, kMaxImageFileBytes, [&](std::span<FileTree::File> batch) {
        const auto count = static_cast<std::int64_t>(batch.size());
        const Failure failure = for_each_index(count, [&](std::int64_t i) {
            const auto& [index, contents] = batch[i];
            const std::string name = tree.full_name(paths[index]);
            const Image image = sized(decode_image(contents, name, options.exif), size, name);
            std::memcpy(place(index), image.pixels.data(), bytes);
        });
        failure.rethrow();
        done += count;
        if (options.progress) options.progress(done, total);
    });
}

}  // namespace cnpd::datasets
