// Files that operating systems, network drives and notebooks leave in a data set.
#include <algorithm>
#include <string>

#include "datasets/dataset.h"
#include "datasets/files/names.h"
#include "tests/support/archives.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"
#include "tests/support/picture_sets.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::TemporaryDirectory;
using tests::write_file;

void write_folder_set(const fs::path& folder) {
    for (const char* split : {"train", "test"})
        for (const auto name : cifar10::kClassNames)
            write_file(folder / split / name / "1.ppm", tests::ppm_of(32, 32, 9));
}

// Adds seven files. Listing a directory skips six names, as one is a folder with two files.
void litter(const fs::path& folder, const fs::path& images) {
    for (const char* name : {".DS_Store", "Thumbs.db", "desktop.ini", "._1.ppm", "@eaDir/1.ppm"})
        write_file(folder / images / name, "x");
    write_file(folder / images / ".ipynb_checkpoints/1.ppm", "x");
    write_file(folder / images / ".ipynb_checkpoints/2.ppm", "x");
}

TEST_CASE("skipped files are reported once, with names, for every data set, unpacked and packed") {
    struct Case {
        const char *name, *images;
        void (*write)(const fs::path&);
    };
    const Case cases[] = {
        {"folder", "train/frog", write_folder_set},
        {"cifar10", "train/frog", write_folder_set},
        {"gtsrb", "GTSRB/Final_Training/Images/00003",
         [](const fs::path& folder) { tests::write_gtsrb(folder); }},
        {"gtsrb", "Train/3", tests::write_kaggle_gtsrb},
        {"tiny-imagenet", "train/n00000001/images",
         [](const fs::path& folder) { tests::write_tiny_imagenet(folder); }},
    };
    for (const auto& [name, images, write] : cases) {
        CAPTURE(name);
        const TemporaryDirectory folder, packed;
        write(folder.path());
        const auto load_from = [&](const fs::path& data) {
            return load(name, {.data = data.string()});
        };
        const Dataset clean = load_from(folder.path());
        CHECK(clean.notices.empty());
        litter(folder.path(), images);
        constexpr const char* kNames =
            "hidden or left by operating systems (.DS_Store, ._*, .ipynb_checkpoints, ...)";
        const Dataset littered = load_from(folder.path());
        CHECK(littered.notices ==
              std::vector{fmt::format("{}: skipped 6 files, {}", folder.path().string(), kNames)});
        CHECK(littered.train.pixels == clean.train.pixels);
        for (const char* file : {"set.zip", "set.tar.gz"}) {
            tests::write_archive_of(folder.path(), packed / file);
            const Dataset set = load_from(packed / file);
            CHECK(set.notices == std::vector{fmt::format("{}: skipped 7 files, {}",
                                                         (packed / file).string(), kNames)});
            CHECK(set.train.pixels == clean.train.pixels);
        }
    }
}

TEST_CASE("all names are listed if few files are skipped; control characters are quoted") {
    const TemporaryDirectory folder;
    write_folder_set(folder.path());
    write_file(folder / "train/Icon\r", "");
    CHECK(load("folder", {.data = folder.path().string()}).notices ==
          std::vector{folder.path().string() +
                      ": skipped 1 file, hidden or left by operating systems (\"Icon\\x0d\")"});
    write_file(folder / "test/THUMBS.DB", "");
    CHECK(
        load("folder", {.data = folder.path().string()})
            .notices.front()
            .ends_with(
                "skipped 2 files, hidden or left by operating systems (\"Icon\\x0d\", THUMBS.DB)"));
}

TEST_CASE("is_clutter knows clutter from names that resemble it") {
    for (const std::string name : {"__MACOSX", "._1.png", ".DS_Store", "Thumbs.db", "desktop.ini",
                                   "@eaDir", ".ipynb_checkpoints", ".git", "$RECYCLE.BIN",
                                   "System Volume Information", "lost+found"}) {
        CAPTURE(name);
        CHECK(is_clutter(name));
    }
    for (const std::string name :
         {"MACOSX", "thumbs.png", "a.DS_Store", "desktop", "1.png~", "eaDir"}) {
        CAPTURE(name);
        CHECK_FALSE(is_clutter(name));
    }
}

}  // namespace
}  // namespace cnpd::datasets
