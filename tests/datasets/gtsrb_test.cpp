#include "datasets/gtsrb/gtsrb.h"

#include <set>

#include "kernels/common/error.h"
#include "tests/support/archives.h"
#include "tests/support/files.h"
#include "tests/support/layout_messages.h"
#include "tests/support/picture_sets.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::gtsrb_header;
using tests::gtsrb_row;
using tests::GtsrbLayout;
using tests::message_of;
using tests::TemporaryDirectory;
using tests::write_file;
using tests::write_gtsrb;

Dataset load_gtsrb(const fs::path& data, LoadOptions options = {}) {
    options.data = data.string();
    return load("gtsrb", options);
}

void check_set(const Dataset& set) {
    CHECK(set.name == "gtsrb");
    REQUIRE(set.train.n == 86);
    REQUIRE(set.test.n == 43);
    constexpr std::int64_t kBytes = 32 * 32 * 3;
    REQUIRE(set.train.pixels.size() == 86 * kBytes);
    for (std::int32_t i = 0; i < 86; ++i) {
        CHECK(set.train.labels[i] == i / 2);
        CHECK(set.train.pixels[i * kBytes] == 5 * (i / 2) + i % 2);
        CHECK(set.train.pixels[(i + 1) * kBytes - 1] == 5 * (i / 2) + i % 2);
    }
    for (std::int32_t i = 0; i < 43; ++i) {
        CHECK(set.test.labels[i] == 42 - i);
        CHECK(set.test.pixels[i * kBytes] == 5 * (42 - i) + 2);
    }
}

// Checks the error message of loading a valid data set after `change`.
template <class Change>
void check_refused(const Change& change, std::string_view path, std::string_view found) {
    const TemporaryDirectory folder;
    write_gtsrb(folder.path());
    change(folder.path());
    tests::check_names(message_of([&] { load_gtsrb(folder.path()); }), folder, path, found);
}

TEST_CASE("GTSRB is read in the layouts of its archives, torchvision and BackdoorBench") {
    for (const GtsrbLayout& layout :
         {GtsrbLayout{}, GtsrbLayout{.table = "GTSRB/Final_Test/GT-final_test.csv"},
          GtsrbLayout{.training = "gtsrb/GTSRB/Training",
          .test = "gtsrb/GTSRB/Final_Test/Images",
          .table = "gtsrb/GT-final_test.csv"},
          GtsrbLayout{.training = "Train", .test = "Test", .table = "Test/GT-final_test.csv"},
          GtsrbLayout{.training = "Final_Training/Images",
          .test = "Final_Test/Images",
          .table = "Final_Test/Images/GT-final_test.csv"}}) {
        CAPTURE(layout.training);
        const TemporaryDirectory folder;
        write_gtsrb(folder.path(), layout);
        check_set(load_gtsrb(folder.path()));
    }
}

TEST_CASE("GTSRB is neither mirrored nor normalised") {
    const TemporaryDirectory folder;
    write_gtsrb(folder.path());
    const Dataset set = load_gtsrb(folder.path(), {.seed = 3, .train_limit = 10, .test_limit = 5});
    CHECK(set.train.n == 10);
    CHECK(set.test.n == 5);
    CHECK(set.mean == std::vector{0.0f, 0.0f, 0.0f});
    CHECK(set.std == std::vector{1.0f, 1.0f, 1.0f});
    CHECK(set.crop_padding == 4);
    CHECK_FALSE(set.flip);
    REQUIRE(set.class_names.size() == 43);
    CHECK(set.class_names[14] == "stop");
    CHECK(std::set<std::string>(set.class_names.begin(), set.class_names.end()).size() == 43);
    CHECK(load_gtsrb(folder.path(), {.image_size = 48}).train.w == 48);
}

TEST_CASE("GTSRB is read from one archive with everything and from the three official ones") {
    const TemporaryDirectory unpacked, folder;
    write_gtsrb(unpacked.path());
    for (const char* name : {"all.zip", "all.tar.gz"}) {
        tests::write_archive_of(unpacked.path(), folder / name);
        check_set(load_gtsrb(folder / name));
    }
    fs::create_directory(folder / "three");
    for (const auto& [part, name] :
         {std::pair{"GTSRB/Final_Training", "GTSRB_Final_Training_Images.zip"},
          std::pair{"GTSRB/Final_Test", "GTSRB_Final_Test_Images.zip"}})
        tests::write_archive_of(unpacked / part, folder / "three" / name, std::string(part) + "/");
    const std::string missing = message_of([&] { load_gtsrb(folder / "three"); });
    CAPTURE(missing);
    CHECK(missing.find("lacks GTSRB's test labels") != std::string::npos);
    CHECK(missing.find("GTSRB_Final_Test_GT.zip") != std::string::npos);
    tests::write_archive(
        folder / "three/GTSRB_Final_Test_GT.zip",
        {{.name = "GT-final_test.csv",
          .contents = engine::read_text_file(unpacked / "GT-final_test.csv", 1 << 20)}});
    check_set(load_gtsrb(folder / "three"));
    // Unneeded archives are not opened.
    write_file(unpacked / "GTSRB_Final_Test_GT.zip", "damaged");
    check_set(load_gtsrb(unpacked.path()));
}

TEST_CASE("messages name missing and unexpected parts of GTSRB") {
    check_refused([](const fs::path& f) { fs::remove_all(f / "GTSRB/Final_Training"); }, "",
                  "lacks GTSRB's training images; it holds \"GT-final_test.csv\", \"GTSRB\"; "
                  "expected GTSRB/Final_Training/Images/");
    check_refused([](const fs::path& f) { fs::remove_all(f / "GTSRB/Final_Test"); }, "",
                  "lacks GTSRB's test images");
    check_refused([](const fs::path& f) { fs::remove(f / "GT-final_test.csv"); }, "",
                  "lacks GTSRB's test labels");
    const std::string training = "GTSRB/Final_Training/Images/";
    check_refused([&](const fs::path& f) { fs::remove_all(f / training / "00007"); },
                  training + "00007", "is missing");
    check_refused([&](const fs::path& f) { fs::create_directory(f / training / "00043"); },
                  training + "00043", "is not a class of GTSRB");
    check_refused([&](const fs::path& f) { fs::remove(f / training / "00007/GT-00007.csv"); },
                  training + "00007/GT-00007.csv", "is missing");
    check_refused(
        [&](const fs::path& f) {
            for (const char* name : {"00000_00000.ppm", "00000_00001.ppm"})
                fs::remove(f / training / "00007" / name);
            write_file(f / training / "00007/GT-00007.csv", gtsrb_header());
        },
        training + "00007", "is empty; expected images");
}

TEST_CASE("errors in GTSRB's tables, and images without a row, are refused") {
    const std::string folder = "GTSRB/Final_Training/Images/00007/",
                      table = folder + "GT-00007.csv";
    const auto with_table = [&](const std::string& rows) {
        return [=](const fs::path& f) { write_file(f / table, rows); };
    };
    const std::string first = gtsrb_row("00000_00000.ppm", 7);
    const std::string both = gtsrb_header() + first + gtsrb_row("00000_00001.ppm", 7);
    check_refused(with_table(""), table, "is empty; expected Filename;Width;");
    check_refused(with_table("Filename,Width\n"), table, "line 1 begins with \"Filename,Width\"");
    check_refused(with_table(both + "x.ppm;1\n"), table, "line 4 has 2 fields; expected 8");
    check_refused(with_table(both + ";;;;;;;;\n"), table, "line 4 has 9 fields");
    check_refused(with_table(both + gtsrb_row("x.ppm", 43)), table,
                  "line 4 has the class \"43\"; expected a number from 0 to 42");
    check_refused(with_table(both + gtsrb_row("x.ppm", -1)), table, "the class \"-1\"");
    check_refused(with_table(both + "x.ppm;1;1;1;1;1;1;7 \n"), table, "the class \"7 \"");
    check_refused(with_table(both + gtsrb_row("x.ppm", 8)), table,
                  "line 4 has class 8; expected 7, the folder's class");
    check_refused(with_table(both + gtsrb_row("x.ppm", 7)), table,
                  "line 4 names \"x.ppm\"; expected an image in");
    check_refused(with_table(both + gtsrb_row("../00008/00000_00000.ppm", 7)), table,
                  "line 4 names \"../00008");
    check_refused(with_table(both + first), table, "line 4 names \"00000_00000.ppm\" again");
    check_refused(with_table(gtsrb_header() + first), folder + "00000_00001.ppm",
                  "has no annotation; expected a line for it in");
    check_refused([&](const fs::path& f) { write_file(f / folder / "notes.md", "x"); },
                  folder + "notes.md", "is not an image");
    check_refused([&](const fs::path& f) { fs::remove(f / folder / "00000_00001.ppm"); }, table,
                  "line 3 names \"00000_00001.ppm\"; expected an image");
    check_refused([&](const fs::path& f) { write_file(f / folder / "00000_00001.ppm", "GIF89a"); },
                  folder + "00000_00001.ppm", "is not an image");
    check_refused(
        [&](const fs::path& f) {
            write_file(f / "GT-final_test.csv",
                       "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2\n");
        },
        "GT-final_test.csv", "has no column ClassId");
    check_refused(
        [](const fs::path& f) {
            std::string rows = gtsrb_header();
            for (std::int32_t i = 1; i < 43; ++i) rows += gtsrb_row(fmt::format("{:05}.ppm", i), 0);
            write_file(f / "GT-final_test.csv", rows);
        },
        "GTSRB/Final_Test/Images/00000.ppm", "has no annotation");
}

TEST_CASE("images without a row and rows without an image of GTSRB are listed together") {
    const auto said = [](const std::string& rows) {
        const TemporaryDirectory folder;
        write_gtsrb(folder.path());
        write_file(folder / "GT-final_test.csv", gtsrb_header() + rows);
        return message_of([&] { load_gtsrb(folder.path()); });
    };
    const std::string images = said("");
    CAPTURE(images);
    CHECK(images.find("holds 43 unexpected files or folders: "
                      "\"GTSRB/Final_Test/Images/00000.ppm\" has no annotation, ") !=
          std::string::npos);
    CHECK(images.find("00004.ppm\" has no annotation and 38 more; expected a line for it in") !=
          std::string::npos);
    std::string more;
    for (int i = 0; i < 7; ++i) more += gtsrb_row(fmt::format("x{}.ppm", i), 0);
    const std::string rows = said(more);
    CAPTURE(rows);
    CHECK(rows.find("GT-final_test.csv: line 2 names \"x0.ppm\", line 3 names \"x1.ppm\"") !=
          std::string::npos);
    CHECK(rows.find("\"x4.ppm\" and 2 more; expected an image in") != std::string::npos);
}

TEST_CASE("GTSRB without class tables, as in torchvision's folder, is labelled by folder names") {
    const TemporaryDirectory folder;
    write_gtsrb(folder.path(), {.training = "gtsrb/GTSRB/Training",
                                .test = "gtsrb/GTSRB/Final_Test/Images",
                                .table = "gtsrb/GT-final_test.csv"});
    for (std::int32_t label = 0; label < gtsrb::kClasses; ++label)
        fs::remove(folder.path() / fmt::format("gtsrb/GTSRB/Training/{0:05}/GT-{0:05}.csv", label));
    check_set(load_gtsrb(folder.path()));
    check_set(load_gtsrb(folder / "gtsrb"));
    tests::write_archive_of(folder.path(), folder / "all.zip");
    check_set(load_gtsrb(folder / "all.zip"));
}

// The same for Kaggle's layout.
template <class Change>
void check_kaggle_refused(const Change& change, std::string_view path, std::string_view found) {
    const TemporaryDirectory folder;
    tests::write_kaggle_gtsrb(folder.path());
    change(folder.path());
    tests::check_names(message_of([&] { load_gtsrb(folder.path()); }), folder, path, found);
}

TEST_CASE("GTSRB is read in Kaggle's layout, from a folder and from an archive") {
    const TemporaryDirectory folder, packed;
    tests::write_kaggle_gtsrb(folder.path());
    check_set(load_gtsrb(folder.path()));
    for (const std::string name : {"gtsrb-german-traffic-sign.zip", "any.tar.gz"}) {
        tests::write_archive_of(folder.path(), packed / name);
        check_set(load_gtsrb(packed / name));
    }
    check_set(load_gtsrb(packed.path()));  // the folder that holds the archive
    // Without Train and Test: case-insensitive file systems merge them with train and test.
    for (const char* name : {"Train", "Test"}) fs::remove_all(folder / name);
    check_set(load_gtsrb(folder.path()));
}

TEST_CASE("errors in Kaggle's tables of GTSRB are refused") {
    const auto with = [](const std::string& rows, const char* table = "Train.csv") {
        return [=](const fs::path& f) { write_file(f / table, tests::kaggle_header() + rows); };
    };
    const auto and_row = [](const std::string& row) {
        return [=](const fs::path& f) {
            write_file(f / "Train.csv", engine::read_text_file(f / "Train.csv", 1 << 20) + row);
        };
    };
    using tests::kaggle_row;
    for (const char* header : {"Width,Height,Path\n", "Width,Height,ClassId\n", "ClassId;Path\n",
                               "a\n", "ClassId,ClassId,Path\n"})
        check_kaggle_refused([&](const fs::path& f) { write_file(f / "Train.csv", header); },
                             "Train.csv", "column");
    check_kaggle_refused([](const fs::path& f) { write_file(f / "Test.csv", ""); }, "Test.csv",
                         "is empty; expected Width,Height,");
    check_kaggle_refused(with("1,2,3\n"), "Train.csv", "line 2 has 3 fields; expected 8");
    check_kaggle_refused(with(std::string(100'000, ',') + "\n"), "Train.csv",
                         "line 2 has 65 fields; expected 8");
    for (const char* label : {"43", "-1", "1.0", "", "99999999999999999999", "7 "})
        check_kaggle_refused(with(fmt::format("1,1,1,1,1,1,{},Train/0/a.png\n", label)),
                             "Train.csv", fmt::format("line 2 has the class \"{}\"", label));
    for (const char* path :
         {"../../etc/passwd", "/etc/passwd", "Train/../secret.png", "Train/0/../1/00000_00000.png",
          "Train/", "", "Other/0/00000_00000.png", "Train/0/00000_00000.ppm"})
        check_kaggle_refused(and_row(kaggle_row(path, 0)), "Train.csv", "line 88 names ");
    check_kaggle_refused(and_row(kaggle_row(std::string(1 << 20, 'x'), 0)), "Train.csv",
                         "line 88 names \"xxx");
    check_kaggle_refused(and_row(kaggle_row("Train/0/00000_00000.png", 0)), "Train.csv",
                         "again; expected each image once");
    check_kaggle_refused(with(""), "", "has no annotation");
    check_kaggle_refused(
        [](const fs::path& f) {
            std::string table = engine::read_text_file(f / "Train.csv", 1 << 20);
            const std::string row = kaggle_row("Train/7/00000_00001.png", 7);
            const std::size_t place = table.find(row);
            REQUIRE(place != std::string::npos);
            table.replace(place, row.size(), kaggle_row("Train/7/00000_00001.png", 8));
            write_file(f / "Train.csv", table);
        },
        "Train.csv", "has class 8; expected 7, the folder's class");
    check_kaggle_refused(
        [](const fs::path& f) {
            for (const char* name : {"Test.csv", "Test/GT-final_test.csv"}) fs::remove(f / name);
        },
        "", "lacks GTSRB's test labels");
    check_kaggle_refused([](const fs::path& f) { fs::create_directory(f / "Train/43"); },
                         "Train/43", "is not a class of GTSRB; expected 0 .. 42");
    check_kaggle_refused([](const fs::path& f) { fs::remove_all(f / "Train/12"); }, "Train/12",
                         "is missing");
    check_kaggle_refused(
        [](const fs::path& f) {
            write_file(f / "Test.csv", "");
            fs::resize_file(f / "Test.csv", (16 << 20) + 1);
        },
        "Test.csv", "holds 16777217 bytes");
}

}  // namespace
}  // namespace cnpd::datasets
