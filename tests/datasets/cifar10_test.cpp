#include "datasets/cifar10/cifar10.h"

#include <filesystem>
#include <numeric>

#include "datasets/subset.h"
#include "engine/files.h"
#include "kernels/common/error.h"
#include "tests/support/archives.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::bytes_of;
using tests::message_of;
using tests::TemporaryDirectory;
using tests::TinyCifar10;

Dataset load_tiny(const fs::path& folder, LoadOptions options = {}) {
    options.data = folder.string();
    return cifar10::load(options, TinyCifar10::kImagesPerBatch);
}

void check_message(const std::string& message, std::string_view path, std::string_view found) {
    CAPTURE(message);
    CHECK(message.find(path) != std::string::npos);
    CHECK(message.find(found) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
}

TEST_CASE("all layouts of CIFAR-10 give the same pixels and labels") {
    const TinyCifar10 tiny;
    const TemporaryDirectory binary, nested, python, pictures;
    tiny.write_binary(binary.path());
    tiny.write_binary(nested / "cifar-10-batches-bin");
    tiny.write_python(python / "cifar-10-batches-py");
    tiny.write_folder(pictures.path());
    const TemporaryDirectory archives, official;
    const fs::path binary_archive = archives / "cifar-10-binary.tar.gz",
                   python_archive = official / "cifar-10-python.tar.gz";
    tests::write_archive_of(nested.path(), binary_archive);
    tests::write_archive_of(python.path(), python_archive);

    for (const fs::path& data : {binary.path(), nested.path(), python.path(), pictures.path(),
                                 binary_archive, official.path()}) {
        CAPTURE(data.string());
        const Dataset set = load_tiny(data);
        CHECK(set.name == "cifar10");
        REQUIRE(set.class_names.size() == 10);
        CHECK(set.class_names[9] == "truck");
        CHECK(set.crop_padding == 4);
        CHECK(set.flip);
        CHECK(set.mean == std::vector{0.4914f, 0.4822f, 0.4465f});
        CHECK(set.std == std::vector{0.247f, 0.243f, 0.261f});
        REQUIRE(set.train.n == 50);
        REQUIRE(set.test.n == 10);
        CHECK(set.test.pixels == tiny.test.pixels);
        CHECK(set.test.labels == tiny.test.labels);
        std::vector<std::uint8_t> pixels;
        std::vector<std::int32_t> labels;
        for (const Images& batch : tiny.train) {
            pixels.insert(pixels.end(), batch.pixels.begin(), batch.pixels.end());
            labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
        }
        CHECK(set.train.pixels == pixels);
        CHECK(set.train.labels == labels);
    }
}

TEST_CASE("a limit keeps the same random images of every layout, in their order") {
    const TinyCifar10 tiny;
    const TemporaryDirectory binary, pictures;
    tiny.write_binary(binary.path());
    tiny.write_folder(pictures.path());
    const LoadOptions options{.seed = 5, .train_limit = 17, .test_limit = 4};
    const Dataset all = load_tiny(binary.path());
    const Dataset some = load_tiny(binary.path(), options);
    const Dataset decoded = load_tiny(pictures.path(), options);
    REQUIRE(some.train.n == 17);
    REQUIRE(some.test.n == 4);
    CHECK(some.train.pixels == decoded.train.pixels);
    CHECK(some.train.labels == decoded.train.labels);
    CHECK(some.test.pixels == decoded.test.pixels);
    const auto indices = draw_subset(50, 17, 5, streams::kTrainSubset);
    CHECK(select(all.train, indices).pixels == some.train.pixels);
    CHECK(load_tiny(binary.path(), {.seed = 6, .train_limit = 17}).train.pixels !=
          some.train.pixels);
    CHECK(load_tiny(binary.path(), {.train_limit = 1000}).train.n == 50);
}

TEST_CASE("draw_subset draws each index equally often, without replacement, ascending") {
    std::vector<int> drawn(20);
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        const auto indices = draw_subset(20, 5, seed, 1);
        REQUIRE(indices.size() == 5);
        for (std::size_t i = 1; i < 5; ++i) CHECK(indices[i] > indices[i - 1]);
        for (const auto index : indices) ++drawn[index];
    }
    // 500 expected, standard deviation 19.4.
    for (const int count : drawn) CHECK(std::abs(count - 500) < 100);
    CHECK(draw_subset(3, 0, 1, 1) == std::vector<std::int64_t>{0, 1, 2});
}

TEST_CASE("batches pickled by Python 3 and numpy 2 are read") {
    for (const char* name : {"python3_bytes_keys.pickle", "python3_text_keys.pickle"}) {
        const fs::path path = fs::path(CNPD_FIXTURES) / "cifar10" / name;
        const auto file = engine::read_file(path, 1 << 20);
        Images images;
        cifar10::read_python_batch(file, name, 2, images);
        REQUIRE(images.n == 2);
        CHECK(images.labels == std::vector{3, 9});
        for (int row = 0; row < 2; ++row)
            for (int c = 0; c < 3; ++c)
                for (int p = 0; p < 1024; ++p)
                    REQUIRE(images.pixels[(row * 1024 + p) * 3 + c] ==
                            (row * 31 + (c * 1024 + p) * 7) % 256);
    }
}

TEST_CASE("binary batches of the wrong size or with invalid labels are refused") {
    const Images images = tests::random_images({1, 9});
    const std::string file = tests::binary_batch(images);
    const auto refusal = [](const std::string& contents, std::int64_t count) {
        return message_of([&] {
            Images target;
            cifar10::read_binary_batch(bytes_of(contents), "x.bin", count, target);
        });
    };
    Images target;
    CHECK_NOTHROW(cifar10::read_binary_batch(bytes_of(file), "x.bin", 2, target));
    check_message(refusal("", 2), "x.bin", "holds 0 bytes; expected 6146");
    check_message(refusal(file.substr(0, 6145), 2), "x.bin", "holds 6145 bytes");
    check_message(refusal(file + "x", 2), "x.bin", "holds 6147 bytes");
    check_message(refusal(file, 3), "x.bin", "expected 9219");
    std::string other = file;
    other[3073] = 10;
    check_message(refusal(other, 2), "x.bin", "image 1 has label 10");
}

TEST_CASE("messages name a missing or invalid file") {
    const TinyCifar10 tiny;
    const auto broken = [&](const auto& change) {
        const TemporaryDirectory folder;
        tiny.write_binary(folder.path());
        change(folder.path());
        return message_of([&] { load_tiny(folder.path()); });
    };
    check_message(broken([](const fs::path& f) { fs::remove(f / "data_batch_1.bin"); }),
                  "data_batch_1.bin", "cannot be read");
    check_message(broken([](const fs::path& f) { fs::remove(f / "test_batch.bin"); }),
                  "test_batch.bin", "cannot be read");
    check_message(broken([](const fs::path& f) {
                      fs::remove(f / "test_batch.bin");
                      fs::create_directory(f / "test_batch.bin");
                  }),
                  "test_batch.bin", "is a directory");
    check_message(
        broken([](const fs::path& f) { tests::write_file(f / "batches.meta.txt", "cat\n"); }),
        "batches.meta.txt", "names class 0 \"cat\"");
    check_message(
        broken([](const fs::path& f) { tests::write_file(f / "batches.meta.txt", "airplane\n"); }),
        "batches.meta.txt", "names 1 classes");
    check_message(broken([](const fs::path& f) {
                      tests::write_file(f / "batches.meta.txt", tests::text_names() + "boat\n");
                  }),
                  "batches.meta.txt", "names class 10 \"boat\"");
    check_message(broken([](const fs::path& f) { fs::resize_file(f / "data_batch_3.bin", 77); }),
                  "data_batch_3.bin", "holds 77 bytes");
    check_message(broken([](const fs::path& f) {
                      fs::remove(f / "data_batch_2.bin");
                      fs::create_symlink("/etc/passwd", f / "data_batch_2.bin");
                  }),
                  "data_batch_2.bin", "is a link to \"/etc/passwd\"");
    const TemporaryDirectory empty;
    check_message(message_of([&] { load_tiny(empty.path()); }), empty.path().string(),
                  "does not contain CIFAR-10");
    check_message(message_of([&] { load_tiny(empty / "none"); }), "none", "is missing");
    // The batches have ten images instead of 10,000.
    const TemporaryDirectory official;
    tiny.write_binary(official.path());
    check_message(message_of([&] { load("cifar10", {.data = official.path().string()}); }),
                  "data_batch_1.bin", "expected 30730000: 10000 images of 3073");
}

TEST_CASE("an image folder without exactly ten classes is refused as CIFAR-10") {
    const TinyCifar10 tiny;
    const TemporaryDirectory folder;
    tiny.write_folder(folder.path());
    for (const char* split : {"train", "test"}) fs::remove_all(folder / split / "cat");
    check_message(message_of([&] { load_tiny(folder.path()); }), "train", "holds 9 classes");
}

TEST_CASE("progress counts up to the number of images and can stop loading") {
    const TinyCifar10 tiny;
    const TemporaryDirectory binary, pictures;
    tiny.write_binary(binary.path());
    tiny.write_folder(pictures.path());
    for (const TemporaryDirectory* folder : {&binary, &pictures}) {
        std::int64_t last = 0;
        load_tiny(folder->path(), {.progress = [&](std::int64_t done, std::int64_t total) {
                      CHECK(done > last);
                      CHECK(total == 60);
                      last = done;
                  }});
        CHECK(last == 60);
        const auto stop = [](std::int64_t, std::int64_t) { throw Interrupted("stopped"); };
        CHECK_THROWS_AS(load_tiny(folder->path(), {.progress = stop}), Interrupted);
    }
}

}  // namespace
}  // namespace cnpd::datasets
