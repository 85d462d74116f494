#include "datasets/gtsrb/gtsrb.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::datasets::gtsrb {

namespace {

constexpr std::string_view kArchives[] = {
    "GTSRB_Final_Training_Images.zip", "GTSRB-Training_fixed.zip", "GTSRB_Final_Test_Images.zip",
    "GTSRB_Final_Test_GT.zip", "gtsrb-german-traffic-sign.zip"};

// Folders that may contain the parts: as in the official archives, torchvision and BackdoorBench.
constexpr std::string_view kRoots[] = {"", "GTSRB", "gtsrb", "gtsrb/GTSRB"};

// Kaggle's tables are next to the image folders.
constexpr std::string_view kKaggleTraining = "Train.csv", kKaggleTest = "Test.csv";

// "a/b" and "c" for "a/b/c".
std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}
std::string name_of(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

// Names of class folders: 00000 .. 00042 (padded), or 0 .. 42 (plain) in Kaggle's archive.
enum class Naming { padded, plain };

std::string class_folder(std::int32_t label, Naming naming) {
    return naming == Naming::padded ? fmt::format("{:05}", label) : fmt::format("{}", label);
}

Naming naming_of(const std::vector<std::string>& folders) {
    std::int32_t padded = 0, plain = 0;
    for (std::int32_t label = 0; label < kClasses; ++label) {
        const auto holds = [&](Naming naming) {
            return std::binary_search(folders.begin(), folders.end(), class_folder(label, naming));
        };
        padded += holds(Naming::padded);
        plain += holds(Naming::plain);
    }
    return plain > padded ? Naming::plain : Naming::padded;
}

// The first existing folder of `parts`. The part `with_table` counts only next to `table`, because
// Kaggle's archive holds copies of all folders whose names differ only in case.
std::optional<std::string> find_folder(const FileTree& tree,
                                       std::initializer_list<std::string_view> parts,
                                       std::string_view with_table, std::string_view table) {
    for (const std::string_view part : parts)
        for (const std::string_view root : kRoots)
            if (std::string folder = join(root, part);
                tree.has_folder(folder) && (part != with_table || tree.has_file(join(root, table))))
                return folder;
    return std::nullopt;
}

std::optional<std::string> find_training(const FileTree& tree) {
    return find_folder(tree, {"Final_Training/Images", "Training", "Train", "train"}, "train",
                       kKaggleTraining);
}

std::optional<std::string> find_test_images(const FileTree& tree) {
    return find_folder(tree, {"Final_Test/Images", "Test", "test"}, "test", kKaggleTest);
}

// Kaggle's table next to the image folder, or else the official table in that folder or above it.
// Kaggle's is tried first: its image folder holds a copy of the official table, whose file names
// do not match.
std::optional<std::string> find_test_table(const FileTree& tree, std::string folder) {
    if (std::string table = join(folder_of(folder), kKaggleTest); tree.has_file(table))
        return table;
    while (true) {
        if (std::string table = join(folder, "GT-final_test.csv"); tree.has_file(table))
            return table;
        if (folder.empty()) return std::nullopt;
        folder = folder_of(folder);
    }
}

bool is_complete(const FileTree& tree) {
    const auto images = find_test_images(tree);
    return find_training(tree) && images && find_test_table(tree, *images);
}

// The folder of one class.
struct ClassFolder {
    std::string path;
    std::vector<std::string> images;  // file names
};

std::vector<ClassFolder> list_classes(const FileTree& tree, const std::string& part) {
    const std::vector<std::string> names = tree.list(part);
    const Naming naming = naming_of(names);
    Strangers strangers(tree);
    for (const std::string& name : names) {
        std::int32_t label = 0;
        while (label < kClasses && name != class_folder(label, naming)) ++label;
        if (label == kClasses && tree.has_folder(join(part, name)))
            strangers.add(join(part, name), "is not a class of GTSRB",
                          fmt::format("{} .. {}", class_folder(0, naming),
                                      class_folder(kClasses - 1, naming)));
    }
    std::vector<ClassFolder> folders;
    for (std::int32_t label = 0; label < kClasses; ++label) {
        std::string folder = join(part, class_folder(label, naming));
        if (!tree.has_folder(folder)) {
            strangers.refuse();
            throw FileError(tree.full_name(folder), "is missing",
                            fmt::format("a folder for each of the {} classes", kClasses));
        }
        auto images = list_images(tree, folder, strangers, ".csv");
        folders.push_back({std::move(folder), std::move(images)});
    }
    strangers.refuse();
    return folders;
}

// Reads Kaggle's table. Paths are made relative to the image folder.
std::vector<Annotation> read_kaggle(const FileTree& tree, const std::string& folder,
                                    const std::string& table) {
    auto annotations =
        read_kaggle_table(read_text_file(tree, table, kMaxTableBytes), tree.full_name(table));
    // Paths begin with the folder's name, which some tools change to lower case.
    const std::string name = name_of(folder) + '/';
    const auto is_same = [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) ==
               std::tolower(static_cast<unsigned char>(b));
    };
    for (Annotation& row : annotations)
        if (row.file.size() > name.size() &&
            std::equal(name.begin(), name.end(), row.file.begin(), is_same))
            row.file.erase(0, name.size());
    return annotations;
}

void refuse_class(const std::string& table, const Annotation& row, std::int32_t label) {
    throw FileError(table, fmt::format("line {} has class {}", row.line, row.label),
                    fmt::format("{}, the folder's class", label));
}

// Labels from Kaggle's table, which lists the images of all classes.
std::vector<LabelledFile> label_by_kaggle(const FileTree& tree, const std::string& part,
                                          const std::vector<ClassFolder>& folders,
                                          const std::string& table) {
    std::vector<std::string> names;
    for (const ClassFolder& folder : folders)
        for (const std::string& image : folder.images)
            names.push_back(join(name_of(folder.path), image));
    std::sort(names.begin(), names.end());
    const auto annotations = read_kaggle(tree, part, table);
    auto files = label_files(tree, part, names, annotations, tree.full_name(table));
    for (const Annotation& row : annotations)
        if (!row.file.starts_with(name_of(folders[row.label].path) + '/')) {
            std::int32_t label = 0;
            while (!row.file.starts_with(name_of(folders[label].path) + '/')) ++label;
            refuse_class(tree.full_name(table), row, label);
        }
    // Sort by class number; images of a class stay in the order of their names.
    std::stable_sort(files.begin(), files.end(),
                     [](const auto& a, const auto& b) { return a.label < b.label; });
    return files;
}

// Labels from the names of the class folders.
std::vector<LabelledFile> label_by_folder(const std::vector<ClassFolder>& folders) {
    std::vector<LabelledFile> files;
    for (std::int32_t label = 0; label < kClasses; ++label)
        for (const std::string& image : folders[label].images)
            files.push_back({join(folders[label].path, image), label});
    return files;
}

// Labels from the official tables, one for each class. They are read in one pass.
std::vector<LabelledFile> label_by_tables(const FileTree& tree,
                                          const std::vector<ClassFolder>& folders,
                                          const std::vector<std::string>& tables) {
    std::vector<std::vector<Annotation>> annotations(kClasses);
    tree.read(tables, kMaxTableBytes, [&](std::span<FileTree::File> files) {
        for (const auto& [index, contents] : files)
            annotations[index] =
                read_table({reinterpret_cast<const char*>(contents.data()), contents.size()},
                           tree.full_name(tables[index]));
    });
    std::vector<LabelledFile> all;
    for (std::int32_t label = 0; label < kClasses; ++label) {
        const std::string table = tree.full_name(tables[label]);
        for (const Annotation& row : annotations[label])
            if (row.label != label) refuse_class(table, row, label);
        const auto files = label_files(tree, folders[label].path, folders[label].images,
                                       annotations[label], table);
        all.insert(all.end(), files.begin(), files.end());
    }
    return all;
}

std::vector<LabelledFile> list_training(const FileTree& tree, const std::string& part) {
    const std::vector<ClassFolder> folders = list_classes(tree, part);
    if (const std::string table = join(folder_of(part), kKaggleTraining); tree.has_file(table))
        return label_by_kaggle(tree, part, folders, table);
    std::vector<std::string> tables, missing;
    for (const ClassFolder& folder : folders) {
        tables.push_back(join(folder.path, fmt::format("GT-{}.csv", name_of(folder.path))));
        if (!tree.has_file(tables.back())) missing.push_back(tables.back());
    }
    if (missing.size() == tables.size()) return label_by_folder(folders);
    if (!missing.empty())
        throw FileError(tree.full_name(missing.front()), "is missing",
                        "a table of this folder's images, because other folders have one");
    return label_by_tables(tree, folders, tables);
}

std::vector<LabelledFile> list_test(const FileTree& tree, const std::string& folder,
                                    const std::string& table) {
    const std::string name = tree.full_name(table);
    Strangers strangers(tree);
    const auto images = list_images(tree, folder, strangers, ".csv");
    strangers.refuse();
    const auto annotations = name_of(table) == kKaggleTest
                                 ? read_kaggle(tree, folder, table)
                                 : read_table(read_text_file(tree, table, kMaxTableBytes), name);
    return label_files(tree, folder, images, annotations, name);
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
                "GTSRB/Final_Training/Images/, Training/ or Train/ with 00000/ .. 00042/ or 0/ .. "
                "42/, or GTSRB_Final_Training_Images.zip");
    const auto test = find_test_images(tree);
    if (!test)
        missing("test images", "GTSRB/Final_Test/Images/ or Test/, or GTSRB_Final_Test_Images.zip");
    const auto table = find_test_table(tree, *test);
    if (!table)
        missing("test labels",
                "GT-final_test.csv, GTSRB_Final_Test_GT.zip, which holds it, or Kaggle's Test.csv");
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
