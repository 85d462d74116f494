#include "datasets/image_folder.h"

#include <omp.h>

#include <filesystem>

#include "kernels/common/error.h"
#include "tests/support/archives.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::message_of;
using tests::TemporaryDirectory;
using tests::write_file;

std::string picture(std::int64_t h, std::int64_t w, std::uint8_t value) {
    const std::vector<std::uint8_t> pixels(h * w * 3, value);
    const auto file = encode_png(pixels, h, w, 3);
    return {file.begin(), file.end()};
}

// Three training images of 6 x 8 pixels and one test image in each of the classes b and a.
void write_set(const fs::path& folder) {
    for (const char* name : {"b", "a"}) {
        for (int i = 0; i < 3; ++i)
            write_file(folder / "train" / name / fmt::format("{}.png", i),
                       picture(6, 8, static_cast<std::uint8_t>(name[0] + i)));
        write_file(folder / "test" / name / "0.PNG", picture(6, 8, 7));
    }
}

template <class Change>
std::string refusal(const Change& change) {
    const TemporaryDirectory folder;
    write_set(folder.path());
    change(folder.path());
    const std::string message =
        message_of([&] { load("folder", {.data = folder.path().string()}); });
    CHECK(message.starts_with(folder.path().string()));
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

bool contains(const std::string& message, std::string_view part) {
    CAPTURE(message);
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
    return true;
}

TEST_CASE("an image folder is read in the order of its names") {
    const TemporaryDirectory folder;
    write_set(folder.path());
    write_file(folder / "train/.DS_Store", "skipped");
    write_file(folder / "train/a/.thumbnail", "skipped");
    const int threads = omp_get_max_threads();
    omp_set_num_threads(3);
    const Dataset set = load("folder", {.data = folder.path().string()});
    omp_set_num_threads(threads);
    CHECK(set.class_names == std::vector<std::string>{"a", "b"});
    CHECK(set.train.n == 6);
    CHECK(set.test.n == 2);
    CHECK(set.train.h == 6);
    CHECK(set.train.w == 8);
    CHECK(set.train.labels == std::vector{0, 0, 0, 1, 1, 1});
    for (int i = 0; i < 6; ++i)
        CHECK(set.train.pixels[i * 6 * 8 * 3] == (i < 3 ? 'a' + i : 'b' + i - 3));
    CHECK(set.mean.size() == 3);
    CHECK(set.std.size() == 3);
}

TEST_CASE("class folders are sorted as numbers if all names are numbers") {
    const TemporaryDirectory folder;
    for (const char* split : {"train", "test"})
        for (const char* name : {"0", "1", "10", "2"})
            write_file(folder / split / name / "1.png", picture(6, 8, 90));
    const Dataset set = load("folder", {.data = folder.path().string()});
    CHECK(set.class_names == std::vector<std::string>{"0", "1", "2", "10"});
    CHECK(set.train.labels == std::vector<std::int32_t>{0, 1, 2, 3});
}

TEST_CASE("images of several sizes need --image-size") {
    const TemporaryDirectory folder;
    write_set(folder.path());
    write_file(folder / "train/b/9.png", picture(31, 17, 90));
    const std::string said = message_of([&] { load("folder", {.data = folder.path().string()}); });
    for (const char* part : {"9.png", "17 x 31", "8 x 6", "--image-size"}) contains(said, part);
    // The first image determines the expected size, even if it is the one that differs.
    write_file(folder / "train/a/0.png", picture(31, 17, 90));
    contains(message_of([&] { load("folder", {.data = folder.path().string()}); }),
             "a/1.png has 8 x 6 pixels, the first image has 17 x 31; give --image-size");
    const Dataset small = load("folder", {.data = folder.path().string(), .image_size = 5});
    CHECK(small.train.h == 5);
    CHECK(small.train.w == 5);
    CHECK(small.train.pixels.size() == 7 * 5 * 5 * 3);
    CHECK_THROWS_AS(load("folder", {.data = folder.path().string(), .image_size = -1}), InputError);
    CHECK_THROWS_AS(load("folder", {.data = folder.path().string(), .image_size = 1 << 20}),
                    InputError);
}

TEST_CASE("an image folder is read from an archive, at its top or inside one folder") {
    const TemporaryDirectory folder, packed;
    write_set(folder.path());
    const Dataset expected = load("folder", {.data = folder.path().string()});
    for (const std::string prefix : {"", "set/"})
        for (const char* name : {"set.zip", "set.tar.gz"}) {
            tests::write_archive_of(folder.path(), packed / name, prefix);
            const Dataset set = load("folder", {.data = (packed / name).string()});
            CHECK(set.class_names == expected.class_names);
            CHECK(set.train.pixels == expected.train.pixels);
            CHECK(set.test.pixels == expected.test.pixels);
            CHECK(set.train.labels == expected.train.labels);
        }
    tests::write_archive(packed / "half.zip", {{.name = "train/a/", .type = AE_IFDIR}});
    contains(message_of([&] { load("folder", {.data = (packed / "half.zip").string()}); }),
             "half.zip/test: is missing");
    tests::write_archive(packed / "empty.zip",
                         {{.name = "train/a/", .type = AE_IFDIR}, {.name = "test/a/x.png"}});
    contains(message_of([&] { load("folder", {.data = (packed / "empty.zip").string()}); }),
             "empty.zip/train/a: is empty");
}

TEST_CASE("links inside the folder are followed") {
    const TemporaryDirectory folder, alias;
    write_set(folder.path());
    fs::create_symlink("0.png", folder / "train/a/5.png");
    fs::remove(alias.path());
    fs::create_symlink(folder.path(), alias.path());  // the folder itself may be a link
    CHECK(load("folder", {.data = alias.path().string()}).train.n == 7);
    fs::remove(alias.path());
}

TEST_CASE("links out of the data, broken links and unprintable names are refused") {
    const TemporaryDirectory outside;
    write_file(outside / "a.png", picture(6, 8, 1));
    contains(refusal([&](const fs::path& f) {
                 fs::create_symlink(outside / "a.png", f / "train/a/x.png");
             }),
             "train/a/x.png: is a link to");
    contains(refusal([&](const fs::path& f) { fs::create_symlink(outside.path(), f / "train/c"); }),
             "train/c: is a link to");
    contains(refusal([&](const fs::path& f) {
                 fs::remove_all(f / "test");
                 fs::create_symlink(outside.path(), f / "test");
             }),
             "test: is a link to");
    contains(refusal([](const fs::path& f) { fs::create_symlink("none", f / "train/a/x.png"); }),
             "cannot be followed");
    contains(refusal([](const fs::path& f) { fs::create_symlink("x.png", f / "train/a/x.png"); }),
             "cannot be followed");
    contains(refusal([](const fs::path& f) { write_file(f / "train/a/x\ny.png", "x"); }),
             "holds the name \"x\\x0ay.png\"");
    contains(refusal([](const fs::path& f) {
                 for (const char* split : {"train", "test"})
                     write_file(f / split / "\xff/0.png", picture(6, 8, 1));
             }),
             "train: holds the name \"\\xff\"; expected names in UTF-8");
}

TEST_CASE("messages name missing parts and invalid files") {
    contains(refusal([](const fs::path& f) { fs::remove_all(f / "test"); }), "test: is missing");
    contains(refusal([](const fs::path& f) { fs::remove_all(f / "train"); }), "train: is missing");
    contains(refusal([](const fs::path& f) { fs::create_directory(f / "train/c"); }),
             "has class \"c\" in train only");
    contains(refusal([](const fs::path& f) { fs::create_directory(f / "test/aa"); }),
             "has class \"aa\" in test only");
    contains(refusal([](const fs::path& f) {
                 fs::remove_all(f / "test/a");
                 fs::create_directory(f / "test/a");
             }),
             "test/a: is empty");
    contains(refusal([](const fs::path& f) {
                 fs::remove_all(f / "train");
                 fs::create_directory(f / "train");
             }),
             "train: is empty");
    contains(refusal([](const fs::path& f) { write_file(f / "train/list.txt", "x"); }),
             "list.txt: is not a folder");
    contains(refusal([](const fs::path& f) { write_file(f / "train/a/list.txt", "x"); }),
             "list.txt: is not an image");
    contains(refusal([](const fs::path& f) { fs::create_directory(f / "train/a/x.png"); }),
             "x.png: is a directory");
    contains(refusal([](const fs::path& f) { write_file(f / "train/b/x.png", ""); }),
             "x.png: is empty");
    contains(refusal([](const fs::path& f) { write_file(f / "train/b/x.jpg", "GIF89a"); }),
             "x.jpg: is not an image");
    contains(refusal([](const fs::path& f) {
                 write_file(f / "train/b/x.png", picture(6, 8, 1).substr(0, 60));
             }),
             "x.png: ");
    contains(refusal([](const fs::path& f) {
                 std::ofstream(f / "train/b/x.png");
                 fs::resize_file(f / "train/b/x.png", kMaxImageFileBytes + 1);
             }),
             "x.png: holds 67108865 bytes");
}

TEST_CASE("one message lists all unexpected files and classes") {
    const std::string said = refusal([](const fs::path& f) {
        write_file(f / "train/list.txt", "x");
        for (int i = 0; i < 3; ++i) write_file(f / "train/a" / fmt::format("{}.gif", i), "x");
        for (int i = 0; i < 3; ++i) write_file(f / "test/b" / fmt::format("{}.md", i), "x");
    });
    contains(said,
             "holds 7 unexpected files or folders: \"train/list.txt\" is not a folder, "
             "\"train/a/0.gif\" is not an image, \"train/a/1.gif\" is not an image, "
             "\"train/a/2.gif\" is not an image, \"test/b/0.md\" is not an image and 2 more; ");
    contains(
        refusal([](const fs::path& f) {
            for (const char* name : {"c", "d"}) fs::create_directory(f / "train" / name);
            fs::create_directory(f / "test/aa");
        }),
        "has classes \"c\", \"d\" in train only and class \"aa\" in test only; expected the same");
    contains(refusal([](const fs::path& f) {
                 fs::remove_all(f / "train");
                 write_file(f / "train/0.png", picture(6, 8, 1));
                 write_file(f / "train/1.png", picture(6, 8, 1));
             }),
             "\"train/0.png\" is not a folder, \"train/1.png\" is not a folder; expected only a "
             "sub-folder");
}

TEST_CASE("of several invalid files the first one is reported, independent of threads") {
    for (int repeat = 0; repeat < 5; ++repeat)
        contains(refusal([](const fs::path& f) {
                     for (int i = 0; i < 40; ++i)
                         write_file(f / "train/b" / fmt::format("x{:02}.png", i), "bad");
                 }),
                 "x00.png");
}

TEST_CASE("a data set that is too large for memory is refused before it is read") {
    contains(refusal([](const fs::path& f) {
                 // The first image determines the size of all: 16 million pixels, 48 MB each.
                 std::string file = "P6 4000 4000 255\n";
                 file.resize(file.size() + 48'000'000);
                 write_file(f / "train/a/0.ppm", file);
                 fs::remove(f / "train/a/0.png");
                 for (int i = 0; i < 1500; ++i)
                     write_file(f / "train/b" / fmt::format("y{}.png", i), "");
             }),
             "expected at most 64 GiB");
}

}  // namespace
}  // namespace cnpd::datasets
