#include "datasets/image_folder.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/class_names.h"
#include "datasets/image.h"
#include "datasets/labelled_files.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace {

// The folder that holds train/: the root, or the only folder in it, as in many archives.
std::string find_root(const FileTree& tree) {
    if (tree.has_folder("train")) return "";
    const auto names = tree.list("");
    return names.size() == 1 && tree.has_folder(names[0] + "/train") ? names[0] : "";
}

std::vector<std::string> list_classes(const FileTree& tree, const std::string& split,
                                      Strangers& strangers) {
    if (!tree.has_folder(split))
        throw FileError(tree.full_name(split), "is missing",
                        "a folder with a sub-folder for each class");
    std::vector<std::string> classes = tree.list(split);
    std::erase_if(classes, [&](const std::string& name) {
        if (tree.has_folder(join(split, name))) return false;
        strangers.add(join(split, name), "is not a folder", "only a sub-folder for each class");
        return true;
    });
    if (classes.empty()) {
        strangers.refuse();
        throw FileError(tree.full_name(split), "is empty", "a sub-folder for each class");
    }
    return classes;
}

// Throws FileError with the classes that only one of the splits has. Both lists are sorted.
void check_same_classes(const std::string& data, const std::vector<std::string>& train,
                        const std::vector<std::string>& test) {
    std::vector<std::string> said;
    const auto compare = [&](const auto& one, const auto& other, const char* split) {
        std::vector<std::string> only;
        std::set_difference(one.begin(), one.end(), other.begin(), other.end(),
                            std::back_inserter(only));
        if (only.empty()) return;
        std::vector<std::string> first;
        for (std::size_t i = 0; i < std::min(only.size(), kMostListed); ++i)
            first.push_back(engine::in_quotes(only[i]));
        said.push_back(fmt::format("{} {} in {} only", only.size() == 1 ? "class" : "classes",
                                   list_of(first, std::ssize(only)), split));
    };
    compare(train, test, "train");
    compare(test, train, "test");
    if (!said.empty())
        throw FileError(data, fmt::format("has {}", fmt::join(said, " and ")),
                        "the same classes in train and test");
}

std::vector<LabelledFile> label_files(const FileTree& tree, const std::string& split,
                                      const std::vector<std::string>& classes,
                                      Strangers& strangers) {
    std::vector<LabelledFile> files;
    for (std::size_t label = 0; label < classes.size(); ++label) {
        const std::string folder = join(split, classes[label]);
        for (const std::string& name : list_images(tree, folder, strangers))
            files.push_back({join(folder, name), static_cast<std::int32_t>(label)});
    }
    return files;
}

ImageSize size_of(const FileTree& tree, const std::string& path, bool exif) {
    const Image image =
        decode_image(read_file(tree, path, kMaxImageFileBytes), tree.full_name(path), exif);
    return {.h = image.h, .w = image.w, .of_all = true};
}

}  // namespace

Dataset load_image_folder(const FileTree& tree, const std::string& folder,
                          const LoadOptions& options) {
    const std::string train = join(folder, "train"), test = join(folder, "test");
    Dataset set;
    set.name = "folder";
    Strangers strangers(tree);
    set.class_names = list_classes(tree, train, strangers);
    check_same_classes(tree.full_name(folder), set.class_names,
                       list_classes(tree, test, strangers));

    sort_class_names(set.class_names);

    LabelledFiles files{.train = label_files(tree, train, set.class_names, strangers),
                        .test = label_files(tree, test, set.class_names, strangers)};
    strangers.refuse();
    const ImageSize size = options.image_size > 0
                               ? ImageSize{.h = options.image_size, .w = options.image_size}
                               : size_of(tree, files.train.front().path, options.exif);
    load_images(tree, std::move(files), size, options, set);
    set.mean = {0.485f, 0.456f, 0.406f};
    set.std = {0.229f, 0.224f, 0.225f};
    set.crop_padding = size.h / 8;
    return set;
}

Dataset load_image_folder(const LoadOptions& options) {
    const auto tree = open_file_tree(options.data);
    return load_image_folder(*tree, find_root(*tree), options);
}

}  // namespace cnpd::datasets
