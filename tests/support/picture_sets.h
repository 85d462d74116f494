// Tiny data sets in the official layouts of GTSRB and Tiny ImageNet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "datasets/gtsrb/gtsrb.h"
#include "datasets/image.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"

namespace cnpd::tests {

// The colour and the size of a picture identify the image.
inline std::string ppm_of(std::int64_t h, std::int64_t w, std::uint8_t value) {
    return fmt::format("P6\n{} {}\n255\n", w, h) +
           std::string(static_cast<std::size_t>(h * w * 3), static_cast<char>(value));
}

inline std::string gtsrb_header() {
    return "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n";
}

inline std::string gtsrb_row(const std::string& name, std::int32_t label) {
    return fmt::format("{};29;30;5;6;24;25;{}\r\n", name, label);
}

// Locations of the parts of GTSRB, relative to a folder.
struct GtsrbLayout {
    std::string training = "GTSRB/Final_Training/Images", test = "GTSRB/Final_Test/Images",
                table = "GT-final_test.csv";
};

// Two training images of each class: value 5 * class, and one more; one test image, value 5 * class
// + 2, the last class first.
inline void write_gtsrb(const std::filesystem::path& folder, const GtsrbLayout& layout = {}) {
    constexpr std::int32_t kClasses = datasets::gtsrb::kClasses;
    std::string test_table = gtsrb_header();
    for (std::int32_t label = 0; label < kClasses; ++label) {
        const auto shade = static_cast<std::uint8_t>(5 * label);
        const auto images = folder / layout.training / fmt::format("{:05}", label);
        std::string table = gtsrb_header();
        for (int i = 0; i < 2; ++i) {
            const std::string name = fmt::format("00000_{:05}.ppm", i);
            write_file(images / name, ppm_of(15 + i, 40, static_cast<std::uint8_t>(shade + i)));
            table += gtsrb_row(name, label);
        }
        write_file(images / fmt::format("GT-{:05}.csv", label), table);
        const std::string name = fmt::format("{:05}.ppm", kClasses - 1 - label);
        write_file(folder / layout.test / name,
                   ppm_of(50, 33, static_cast<std::uint8_t>(shade + 2)));
        test_table += gtsrb_row(name, label);
    }
    write_file(folder / layout.test / "GT-final_test.test.csv",
               "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2\n");
    write_file(folder / layout.table, test_table);
}

inline std::string kaggle_header() {
    return "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n";
}

inline std::string kaggle_row(const std::string& path, std::int32_t label) {
    return fmt::format("29,30,5,6,24,25,{},{}\n", label, path);
}

// The same images in the layout of Kaggle's archive, which has everything twice, and a copy of the
// official table that names other files.
inline void write_kaggle_gtsrb(const std::filesystem::path& folder) {
    constexpr std::int32_t kClasses = datasets::gtsrb::kClasses;
    const auto png_of = [](std::int64_t h, std::int64_t w, std::int32_t value) {
        const std::vector<std::uint8_t> pixels(h * w * 3, static_cast<std::uint8_t>(value));
        const auto file = datasets::encode_png(pixels, h, w, 3);
        return std::string(file.begin(), file.end());
    };
    const auto write_twice = [&](const std::string& path, const std::string& contents) {
        write_file(folder / path, contents);
        std::string lower = path;
        lower[0] = static_cast<char>(lower[0] - 'A' + 'a');
        write_file(folder / lower, contents);
    };
    // The table is not in the order of the names.
    std::string train = kaggle_header(), test = kaggle_header();
    for (std::int32_t label = kClasses - 1; label >= 0; --label) {
        for (int i = 0; i < 2; ++i) {
            const std::string path = fmt::format("Train/{}/00000_{:05}.png", label, i);
            write_twice(path, png_of(15 + i, 40, 5 * label + i));
            train += kaggle_row(path, label);
        }
        const std::string path = fmt::format("Test/{:05}.png", kClasses - 1 - label);
        write_twice(path, png_of(50, 33, 5 * label + 2));
        test += kaggle_row(path, label);
        write_twice(fmt::format("Meta/{}.png", label), png_of(9, 9, label));
    }
    write_twice("Test/GT-final_test.csv", gtsrb_header() + gtsrb_row("00000.ppm", 16));
    write_file(folder / "Train.csv", train);
    write_file(folder / "Test.csv", test);
    write_file(folder / "Meta.csv",
               "Path,ClassId,ShapeId,ColorId,SignId\nMeta/27.png,27,0,0,1.32\n");
}

inline const std::vector<std::string> kTinyIds = {"n00000003", "n00000001", "n00000002"};

enum class TinyValidation { flat, folders, nested_folders };

// Three classes; two training images of each, value ten times the id's last digit, and one more;
// one validation image each, value ten times the digit plus two.
inline void write_tiny_imagenet(const std::filesystem::path& folder,
                                TinyValidation validation = TinyValidation::flat) {
    std::string ids, words, annotations;
    for (const std::string& id : kTinyIds) {
        const auto shade = static_cast<std::uint8_t>(10 * (id.back() - '0'));
        for (int i = 0; i < 2; ++i)
            write_file(folder / "train" / id / "images" / fmt::format("{}_{}.JPEG", id, i),
                       ppm_of(64, 64, static_cast<std::uint8_t>(shade + i)));
        write_file(folder / "train" / id / (id + "_boxes.txt"), "");
        const std::string name = fmt::format("val_{}.JPEG", '9' - id.back());
        const std::string place = validation == TinyValidation::flat      ? "images"
                                  : validation == TinyValidation::folders ? id + "/images"
                                                                          : "images/" + id;
        write_file(folder / "val" / place / name,
                   ppm_of(64, 64, static_cast<std::uint8_t>(shade + 2)));
        ids += id + "\n";
        words += fmt::format("{}\tclass {}, {} for short\n", id, id.back(), id.back());
        annotations += fmt::format("{}\t{}\t0\t1\t62\t63\n", name, id);
    }
    write_file(folder / "wnids.txt", ids);
    write_file(folder / "words.txt", words + "n99999999\tsomething else\n");
    if (validation == TinyValidation::flat)
        write_file(folder / "val/val_annotations.txt", annotations);
}

}  // namespace cnpd::tests
