#include "datasets/gtsrb/gtsrb.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::datasets::gtsrb {

namespace {

constexpr std::string_view kArchives[] = {"GTSRB_Final_Training_Images.zip",
                                          "GTSRB-Training_fixed.zip", "GTSRB_Final_Test_Images.zip",
                                          "GTSRB_Final_Test_GT.zip"};

// What can be around the folders of the parts: as the archives are unpacked, and as torchvision and
// BackdoorBench unpack them.
constexpr std::string_view kRoots[] = {"", "GTSRB", "gtsrb", "gtsrb/GTSRB"};

std::string class_folder(std::int32_t label) {
    return fmt::format("{:05}", label);
}

std::optional<std::string> find_training(const FileTree& tree) {
    for (const std::string_view part : {"Final_Training/Images", "Training", "Train"})
        for (const std::string_view root : kRoots)
            if (std::string folder = join(root, part); tree.has_folder(folder)) return folder;
    return std::nullopt;
}

std::optional<std::string> find_test_images(const FileTree& tree) {
    for (const std::string_view part : {"Final_Test/Images", "Test"})
        for (const std::string_view root : kRoots)
            if (std::string folder = join(root, part); tree.has_folder(folder)) return folder;
    return std::nullopt;
}

// In the images' folder or in one of those above it.
std::optional<std::string> find_test_table(const FileTree& tree, std::string folder) {
    while (true) {
        if (std::string table = join(folder, "GT-final_test.csv"); tree.has_file(table))
            return table;
        if (folder.empty()) return std::nullopt;
        folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
    }
}

bool is_complete(const FileTree& tree) {
    const auto images = find_test_images(tree);
    return find_training(tree) && images && find_test_table(tree, *images);
}

// Training images, and the tables of their classes, which are read in one go.
std::vector<LabelledFile> list_training(const FileTree& tree, const std::string& part) {
    for (const std::string& name : tree.list(part)) {
        std::int32_t label = 0;
        while (label < kClasses && name != class_folder(label)) ++label;
        if (label == kClasses && tree.has_folder(join(part, name)))
            throw FileError(tree.full_name(join(part, name)), "is no class of GTSRB",
                            fmt::format("00000 .. {}", class_folder(kClasses - 1)));
    }
    std::vector<std::string> tables;
    for (std::int32_t label = 0; label < kClasses; ++label) {
        const std::string name = class_folder(label), folder = join(part, name);
        if (!tree.has_folder(folder))
            throw FileError(tree.full_name(folder), "is missing",
                            fmt::format("a folder for each of the {} classes", kClasses));
        tables.push_back(join(folder, fmt::format("GT-{}.csv", name)));
        if (!tree.has_file(tables.back()))
            throw FileError(tree.full_name(tables.back()), "is missing",
                            "the table of this folder's images");
    }
    std::vector<std::vector<Annotation>> annotations(kClasses);
    tree.read(tables, kMaxTableBytes, [&](std::span<FileTree::File> files) {
        for (const auto& [index, contents] : files)
            annotations[index] =
                read_table({reinterpret_cast<const char*>(contents.data()), contents.size()},
                           tree.full_name(tables[index]));
    });
    std::vector<LabelledFile> all;
    for (std::int32_t label = 0; label < kClasses; ++label) {
        const std::string folder = join(part, class_folder(label));
        const std::string table = tree.full_name(tables[label]);
        for (const Annotation& row : annotations[label])
            if (row.label != label)
                throw FileError(table, fmt::format("line {} has class {}", row.line, row.label),
                                fmt::format("{}, as the folder", label));
        const auto files =
            label_files(tree, folder, list_images(tree, folder, ".csv"), annotations[label], table);
        all.insert(all.end(), files.begin(), files.end());
    }
    return all;
}

std::vector<LabelledFile> list_test(const FileTree& tree, const std::string& folder,
                                    const std::string& table) {
    const std::string name = tree.full_name(table);
    const auto annotations = read_table(read_text_file(tree, table, kMaxTableBytes), name);
    return label_files(tree, folder, list_images(tree, folder, ".csv"), annotations, name);
}

LabelledFiles list_files(const FileTree& tree) {
    const auto missing = [&](std::string_view what, std::string_view expected) {
        throw FileError(tree.full_name(""),
                        fmt::format("lacks GTSRB's {}; it {}", what, describe_contents(tree, "")),
                        expected);
    };
    const auto training = find_training(tree);
    if (!training)
        missing("training images",
                "GTSRB/Final_Training/Images/, Training/ or Train/ with 00000/ .. 00042/, or "
                "GTSRB_Final_Training_Images.zip");
    const auto test = find_test_images(tree);
    if (!test)
        missing("test images", "GTSRB/Final_Test/Images/ or Test/, or GTSRB_Final_Test_Images.zip");
    const auto table = find_test_table(tree, *test);
    if (!table)
        missing("test labels", "GT-final_test.csv, or GTSRB_Final_Test_GT.zip that holds it");
    return {.train = list_training(tree, *training), .test = list_test(tree, *test, *table)};
}

}  // namespace

Dataset load(const LoadOptions& options) {
    const auto tree = open_with_archives(options.data, kArchives, is_complete);
    const std::int64_t side = options.image_size > 0 ? options.image_size : kSize;
    Dataset set;
    set.name = "gtsrb";
    set.class_names.assign(kClassNames.begin(), kClassNames.end());
    load_images(*tree, list_files(*tree), {side, side}, options, set);
    set.mean = {0, 0, 0};
    set.std = {1, 1, 1};
    set.crop_padding = 4;
    return set;
}

}  // namespace cnpd::datasets::gtsrb
