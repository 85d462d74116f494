#include "datasets/tiny_imagenet/tiny_imagenet.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::datasets::tiny_imagenet {

namespace {

constexpr std::string_view kArchives[] = {"tiny-imagenet-200.zip"};
constexpr std::string_view kAnnotations = "val_annotations.txt";

std::optional<std::string> find_root(const FileTree& tree) {
    for (const char* root : {"", "tiny-imagenet-200", "tiny", "tiny/tiny-imagenet-200"})
        if (tree.has_file(join(root, "wnids.txt")) && tree.has_folder(join(root, "train")))
            return root;
    return std::nullopt;
}

class Lister {
  public:
    Lister(const FileTree& tree, std::string root) : tree_(tree), root_(std::move(root)) {
        ids_ = read_ids(text_of("wnids.txt"), tree_.full_name(join(root_, "wnids.txt")));
    }

    std::vector<std::string> names() const {
        constexpr std::string_view kWords = "words.txt";
        if (!tree_.has_file(join(root_, kWords))) return ids_;
        return read_names(text_of(kWords), tree_.full_name(join(root_, kWords)), ids_);
    }

    LabelledFiles files() const {
        return {.train = in_class_folders(join(root_, "train"), "the images of a class"),
                .test = validation()};
    }

  private:
    std::string text_of(std::string_view table) const {
        return read_text_file(tree_, join(root_, table), kMaxTableBytes);
    }

    std::vector<LabelledFile> validation() const {
        const std::string folder = join(root_, "val"), images = join(folder, "images");
        if (!tree_.has_folder(folder))
            throw FileError(tree_.full_name(folder), "is missing",
                            "val/images/ and val/val_annotations.txt, or a folder for each class");
        // One class folder is enough, so that missing ones can be reported by name.
        const auto has_classes = [&](const std::string& in) {
            return std::any_of(ids_.begin(), ids_.end(),
                               [&](const auto& id) { return tree_.has_folder(join(in, id)); });
        };
        for (const std::string& in : {folder, images})
            if (has_classes(in)) return in_class_folders(in, "the validation images of a class");
        if (!tree_.has_folder(images))
            throw FileError(tree_.full_name(images), "is missing",
                            "validation images there or in val/<id>/");
        const std::string table = join(folder, kAnnotations), name = tree_.full_name(table);
        if (!tree_.has_file(table))
            throw FileError(name, "is missing", "the classes of the images in val/images/");
        Strangers strangers(tree_);
        const auto names = list_images(tree_, images, strangers);
        strangers.refuse();
        return label_files(tree_, images, names,
                           read_annotations(text_of(join("val", kAnnotations)), name, ids_), name);
    }

    // The images in folders named by class id, or in images/ in these folders.
    std::vector<LabelledFile> in_class_folders(const std::string& parent,
                                               std::string_view what) const {
        Strangers strangers(tree_);
        for (const std::string& name : tree_.list(parent))
            if (name != "images" && tree_.has_folder(join(parent, name)) &&
                !std::binary_search(ids_.begin(), ids_.end(), name))
                strangers.add(join(parent, name), "is not a class", "a class of wnids.txt");
        std::vector<LabelledFile> files;
        for (std::size_t label = 0; label < ids_.size(); ++label) {
            std::string folder = join(parent, ids_[label]);
            if (!tree_.has_folder(folder))
                throw FileError(tree_.full_name(folder), "is missing", what);
            if (std::string nested = join(folder, "images"); tree_.has_folder(nested))
                folder = std::move(nested);
            for (const std::string& name : list_images(tree_, folder, strangers, ".txt"))
                files.push_back({join(folder, name), static_cast<std::int32_t>(label)});
        }
        strangers.refuse();
        return files;
    }

    const FileTree& tree_;
    std::string root_;
    std::vector<std::string> ids_;
};

}  // namespace

Dataset load(const LoadOptions& options) {
    const auto tree = open_with_archives(options.data, kArchives, [](const FileTree& files) {
        return find_root(files).has_value();
    });
    const auto root = find_root(*tree);
    if (!root)
        throw FileError(tree->full_name(""),
                        "does not contain Tiny ImageNet; it " + describe_contents(*tree, ""),
                        "wnids.txt, train/ and val/, or tiny-imagenet-200.zip");
    const std::int64_t side = options.image_size > 0 ? options.image_size : kSize;
    const Lister lister(*tree, *root);
    Dataset set;
    set.name = "tiny-imagenet";
    set.class_names = lister.names();
    load_images(*tree, lister.files(), {side, side}, options, set);
    set.mean = {0.4802f, 0.4481f, 0.3975f};
    set.std = {0.2302f, 0.2265f, 0.2262f};
    set.crop_padding = 4;
    return set;
}

}  // namespace cnpd::datasets::tiny_imagenet
