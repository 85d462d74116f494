#include "datasets/image_folder.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "datasets/class_names.h"
#include "datasets/image.h"
#include "datasets/labelled_files.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace {

// The folder that holds train/: the root, or the one folder that is all there is, as archives are
// often made.
std::string find_root(const FileTree& tree) {
    if (tree.has_folder("train")) return "";
    const auto names = tree.list("");
    return names.size() == 1 && tree.has_folder(names[0] + "/train") ? names[0] : "";
}

std::vector<std::string> list_classes(const FileTree& tree, const std::string& split) {
    if (!tree.has_folder(split))
        throw FileError(tree.full_name(split), "is missing",
                        "a folder with a sub-folder for each class");
    std::vector<std::string> classes = tree.list(split);
    for (const std::string& name : classes)
        if (!tree.has_folder(join(split, name)))
            throw FileError(tree.full_name(join(split, name)), "is no folder",
                            "only a sub-folder for each class");
    if (classes.empty())
        throw FileError(tree.full_name(split), "is empty", "a sub-folder for each class");
    return classes;
}

// Names the first class that only one of the splits has.
void check_same_classes(const std::string& data, const std::vector<std::string>& train,
                        const std::vector<std::string>& test) {
    const auto [in_train, in_test] =
        std::mismatch(train.begin(), train.end(), test.begin(), test.end());
    if (in_train == train.end() && in_test == test.end()) return;
    const bool only_train =
        in_test == test.end() || (in_train != train.end() && *in_train < *in_test);
    const char* has = only_train ? "train" : "test";
    throw FileError(data,
                    fmt::format("has class {} in {} only",
                                engine::in_quotes(only_train ? *in_train : *in_test), has),
                    "the same classes in train and test");
}

std::vector<LabelledFile> label_files(const FileTree& tree, const std::string& split,
                                      const std::vector<std::string>& classes) {
    std::vector<LabelledFile> files;
    for (std::size_t label = 0; label < classes.size(); ++label) {
        const std::string folder = join(split, classes[label]);
        for (const std::string& name : list_images(tree, folder))
            files.push_back({join(folder, name), static_cast<std::int32_t>(label)});
    }
    return files;
}

ImageSize size_of(const FileTree& tree, const std::string& path) {
    const Image image =
        decode_image(read_file(tree, path, kMaxImageFileBytes), tree.full_name(path));
    return {.h = image.h, .w = image.w, .of_all = true};
}

}  // namespace

Dataset load_image_folder(const FileTree& tree, const std::string& folder,
                          const LoadOptions& options) {
    const std::string train = join(folder, "train"), test = join(folder, "test");
    Dataset set;
    set.name = "folder";
    set.class_names = list_classes(tree, train);
    check_same_classes(tree.full_name(folder), set.class_names, list_classes(tree, test));

    sort_class_names(set.class_names);

    LabelledFiles files{.train = label_files(tree, train, set.class_names),
                        .test = label_files(tree, test, set.class_names)};
    const ImageSize size = options.image_size > 0
                               ? ImageSize{.h = options.image_size, .w = options.image_size}
                               : size_of(tree, files.train.front().path);
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
