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

// What loading says of a sound set after it has been changed.
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

TEST_CASE("GTSRB is not mirrored, and its pixels stay as they are") {
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

TEST_CASE("GTSRB is read from archives: one with all of it, or the official three in a folder") {
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
    // Archives that are not needed are not opened.
    write_file(unpacked / "GTSRB_Final_Test_GT.zip", "damaged");
    check_set(load_gtsrb(unpacked.path()));
}

TEST_CASE("what GTSRB lacks is named") {
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
                  training + "00043", "is no class of GTSRB");
    check_refused([&](const fs::path& f) { fs::remove(f / training / "00007/GT-00007.csv"); },
                  training + "00007/GT-00007.csv", "is missing");
    check_refused(
        [&](const fs::path& f) {
            for (const char* name : {"00000_00000.ppm", "00000_00001.ppm"})
                fs::remove(f / training / "00007" / name);
            write_file(f / training / "00007/GT-00007.csv", gtsrb_header());
        },
        training + "00007", "is empty; expected images of this class");
}

TEST_CASE("GTSRB's tables and images have to name each other") {
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
                  "line 4 has class 8; expected 7, as the folder");
    check_refused(with_table(both + gtsrb_row("x.ppm", 7)), table,
                  "line 4 names \"x.ppm\"; expected an image in");
    check_refused(with_table(both + gtsrb_row("../00008/00000_00000.ppm", 7)), table,
                  "line 4 names \"../00008");
    check_refused(with_table(both + first), table, "line 4 names \"00000_00000.ppm\" once more");
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
    check_refused([](const fs::path& f) { write_file(f / "GT-final_test.csv", gtsrb_header()); },
                  "GTSRB/Final_Test/Images/00000.ppm", "has no annotation");
}

}  // namespace
}  // namespace cnpd::datasets
