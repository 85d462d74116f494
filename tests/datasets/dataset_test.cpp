// Properties of every data set: limits and sizes.
#include "datasets/dataset.h"

#include "kernels/common/error.h"
#include "tests/support/archives.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"
#include "tests/support/picture_sets.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::TemporaryDirectory;
using tests::write_file;

// The pixels of image i.
std::vector<std::uint8_t> pixels_of(const Images& images, std::int64_t i) {
    const std::int64_t bytes = images.h * images.w * images.c;
    const auto first = images.pixels.begin() + i * bytes;
    return {first, first + bytes};
}

// Checks that every remaining image equals the image of the whole set that its origin refers to.
void check_origin(const Images& some, const Origin& origin, const Images& all,
                  const Origin& whole) {
    REQUIRE(some.n < all.n);
    std::int64_t last = -1;
    for (std::int64_t i = 0; i < some.n; ++i) {
        const std::int64_t index = origin.index_of(i);
        REQUIRE(index > last);
        REQUIRE(index < all.n);
        last = index;
        CHECK(pixels_of(some, i) == pixels_of(all, index));
        CHECK(some.labels[i] == all.labels[index]);
        CHECK(whole.index_of(index) == index);
        if (!origin.files.empty()) CHECK(origin.files[i] == whole.files[index]);
    }
    CHECK(origin.files.size() == (whole.files.empty() ? 0 : static_cast<std::size_t>(some.n)));
}

TEST_CASE("the origin of limited images gives their indices in the whole set") {
    const TemporaryDirectory folder;
    tests::write_gtsrb(folder / "gtsrb");
    tests::write_tiny_imagenet(folder / "tiny");
    for (const char* split : {"train", "test"})
        for (std::uint8_t i = 0; i < 40; ++i)
            write_file(
                folder / "pictures" / split / (i < 15 ? "a" : "b") / fmt::format("{}.ppm", i),
                tests::ppm_of(3, 4, i));
    tests::write_archive_of(folder / "pictures", folder / "pictures.zip");
    struct Case {
        const char *name, *data;
        std::int64_t train, test;
    };
    for (const auto& [name, data, train, test] :
         {Case{"gtsrb", "gtsrb", 20, 7}, Case{"tiny-imagenet", "tiny", 3, 2},
          Case{"folder", "pictures", 11, 12}, Case{"folder", "pictures.zip", 11, 12}}) {
        CAPTURE(data);
        const std::string path = (folder / data).string();
        const Dataset all = load(name, {.data = path});
        const Dataset some =
            load(name, {.data = path, .seed = 5, .train_limit = train, .test_limit = test});
        CHECK(some.train.n == train);
        CHECK(some.test.n == test);
        check_origin(some.train, some.train_origin, all.train, all.train_origin);
        check_origin(some.test, some.test_origin, all.test, all.test_origin);
        CHECK(all.train_origin.files.size() == static_cast<std::size_t>(all.train.n));
    }
    const Dataset pictures = load("folder", {.data = (folder / "pictures.zip").string()});
    CHECK(pictures.train_origin.files[15] == "train/b/15.ppm");
}

TEST_CASE("the origin of limited images is correct for CIFAR-10's batches and the synthetic set") {
    const TemporaryDirectory folder;
    for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                             "data_batch_5", "test_batch"})
        write_file(folder / (std::string(name) + ".bin"),
                   tests::binary_batch(tests::random_images({3, 1, 4, 1})));
    const std::string data = folder.path().string();
    const Dataset all = cifar10::load({.data = data}, 4);
    const Dataset some = cifar10::load({.data = data, .train_limit = 7, .test_limit = 2}, 4);
    check_origin(some.train, some.train_origin, all.train, all.train_origin);
    check_origin(some.test, some.test_origin, all.test, all.test_origin);

    const Dataset signs = load("synthetic", {.train_limit = 30, .test_limit = 10});
    const Dataset fewer = load("synthetic", {.train_limit = 12, .test_limit = 4});
    check_origin(fewer.train, fewer.train_origin, signs.train, signs.train_origin);
    check_origin(fewer.test, fewer.test_origin, signs.test, signs.test_origin);
}

TEST_CASE("--image-size resizes every data set") {
    const TemporaryDirectory folder;
    for (const char* split : {"train", "test"})
        for (const auto name : cifar10::kClassNames)
            write_file(folder / split / name / "1.ppm", tests::ppm_of(64, 64, 9));
    const std::string data = folder.path().string();
    CHECK(load("cifar10", {.data = data}).train.h == 32);
    const LoadOptions drawn{.train_limit = 20, .test_limit = 10};
    const Dataset own = load("synthetic", drawn);
    for (const std::int64_t side : {16, 32, 48}) {
        LoadOptions sized = drawn;
        sized.image_size = side;
        const Dataset signs = load("synthetic", sized);
        const Dataset photos = load("cifar10", {.data = data, .image_size = side});
        for (const Images* images : {&signs.train, &signs.test, &photos.train, &photos.test}) {
            CHECK(images->h == side);
            CHECK(images->w == side);
            CHECK(std::ssize(images->pixels) == images->n * side * side * 3);
        }
        CHECK(signs.train.labels == own.train.labels);
        const Image first{.h = 32, .w = 32, .c = 3, .pixels = pixels_of(own.train, 19)};
        CHECK(pixels_of(signs.train, 19) == resize(first, side, side).pixels);
    }
    CHECK(tests::message_of([] {
              load("synthetic", {.image_size = 16'384});
          }).find("a smaller --image-size") != std::string::npos);
}

}  // namespace
}  // namespace cnpd::datasets
