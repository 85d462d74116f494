#include "datasets/tiny_imagenet/tiny_imagenet.h"

#include "kernels/common/error.h"
#include "tests/support/archives.h"
#include "tests/support/files.h"
#include "tests/support/layout_messages.h"
#include "tests/support/picture_sets.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::message_of;
using tests::TemporaryDirectory;
using tests::TinyValidation;
using tests::write_file;
using tests::write_tiny_imagenet;

Dataset load_tiny(const fs::path& data, LoadOptions options = {}) {
    options.data = data.string();
    return load("tiny-imagenet", options);
}

void check_set(const Dataset& set) {
    CHECK(set.name == "tiny-imagenet");
    CHECK(set.class_names == std::vector<std::string>{"class 1", "class 2", "class 3"});
    REQUIRE(set.train.n == 6);
    REQUIRE(set.test.n == 3);
    CHECK(set.train.labels == std::vector{0, 0, 1, 1, 2, 2});
    constexpr std::int64_t kBytes = 64 * 64 * 3;
    for (std::int32_t i = 0; i < 6; ++i)
        CHECK(set.train.pixels[i * kBytes] == 10 * (i / 2 + 1) + i % 2);
    for (std::int32_t i = 0; i < 3; ++i)
        CHECK(set.test.pixels[i * kBytes] == 10 * (set.test.labels[i] + 1) + 2);
    CHECK(set.mean == std::vector{0.4802f, 0.4481f, 0.3975f});
    CHECK(set.std == std::vector{0.2302f, 0.2265f, 0.2262f});
    CHECK(set.crop_padding == 4);
    CHECK_FALSE(set.flip);
}

TEST_CASE("Tiny ImageNet is read with validation images in every layout") {
    for (const auto validation :
         {TinyValidation::flat, TinyValidation::folders, TinyValidation::nested_folders}) {
        const TemporaryDirectory folder, nested;
        write_tiny_imagenet(folder.path(), validation);
        write_tiny_imagenet(nested / "tiny-imagenet-200", validation);
        const Dataset set = load_tiny(folder.path());
        check_set(set);
        // The order of the names is the reverse of the order of the classes.
        if (validation == TinyValidation::flat) CHECK(set.test.labels == std::vector{2, 1, 0});
        check_set(load_tiny(nested.path()));
        for (const char* name : {"tiny-imagenet-200.zip", "tiny.tar.gz"}) {
            const TemporaryDirectory packed;
            tests::write_archive_of(nested.path(), packed / name);
            check_set(load_tiny(packed / name));
        }
    }
    const TemporaryDirectory folder, packed;
    write_tiny_imagenet(folder.path());
    tests::write_archive_of(folder.path(), packed / "tiny-imagenet-200.zip", "tiny-imagenet-200/");
    check_set(load_tiny(packed.path()));
    fs::remove(folder / "words.txt");
    CHECK(load_tiny(folder.path()).class_names[2] == "n00000003");
    CHECK(load_tiny(folder.path(), {.train_limit = 4, .image_size = 32}).train.pixels.size() ==
          4 * 32 * 32 * 3);
}

// Checks the error message of loading a valid data set after `change`.
template <class Change>
void check_refused(const Change& change, std::string_view path, std::string_view found,
                   TinyValidation validation = TinyValidation::flat) {
    const TemporaryDirectory folder;
    write_tiny_imagenet(folder.path(), validation);
    change(folder.path());
    tests::check_names(message_of([&] { load_tiny(folder.path()); }), folder, path, found);
}

TEST_CASE("messages name missing and unexpected parts of Tiny ImageNet") {
    const auto without = [](const char* path) {
        return [=](const fs::path& f) { fs::remove_all(f / path); };
    };
    check_refused(without("wnids.txt"), "", "does not contain Tiny ImageNet; it holds \"train\"");
    check_refused(without("train"), "", "does not contain Tiny ImageNet");
    check_refused(without("val"), "val", "is missing");
    check_refused(without("val/images"), "val/images", "is missing");
    check_refused(without("val/val_annotations.txt"), "val/val_annotations.txt", "is missing");
    check_refused(without("train/n00000002"), "train/n00000002", "is missing");
    check_refused(without("val/n00000002"), "val/n00000002", "is missing", TinyValidation::folders);
    check_refused(without("val/images/n00000002"), "val/images/n00000002", "is missing",
                  TinyValidation::nested_folders);
    check_refused([](const fs::path& f) { fs::create_directory(f / "train/n00000009"); },
                  "train/n00000009", "is not a class; expected a class of wnids.txt");
    check_refused([](const fs::path& f) { fs::remove_all(f / "train/n00000002/images"); },
                  "train/n00000002", "is empty");
    check_refused(
        [](const fs::path& f) { write_file(f / "train/n00000002/images/x.gif", "GIF89a"); },
        "train/n00000002/images/x.gif", "is not an image");
}

TEST_CASE("errors in Tiny ImageNet's tables, and images without a row, are refused") {
    const auto with = [](const char* path, const char* contents) {
        return [=](const fs::path& f) { write_file(f / path, contents); };
    };
    check_refused(with("wnids.txt", "n00000001\n"), "wnids.txt", "names 1 classes");
    check_refused(with("wnids.txt", "n00000001\nn00000001\n"), "wnids.txt",
                  "names n00000001 twice");
    check_refused(with("wnids.txt", "n00000001\n../../etc\n"), "wnids.txt",
                  "line 2 is \"../../etc\"; expected a WordNet id");
    check_refused(with("words.txt", "n00000001 one\n"), "words.txt",
                  "line 1 begins with \"n00000001 one\"");
    check_refused(with("words.txt", "n00000001\tone\n"), "words.txt", "does not name n00000002");
    check_refused(with("words.txt", "n00000001\t\xff\n"), "words.txt",
                  "line 1 has no printable name");
    const char* const annotations = "val/val_annotations.txt";
    check_refused(with(annotations, "val_6.JPEG n00000003\n"), annotations, "line 1 has no tab");
    check_refused(with(annotations, "val_6.JPEG\tn00000004\n"), annotations,
                  "line 1 has the class \"n00000004\"; expected one of wnids.txt");
    check_refused(with(annotations, "val_5.JPEG\tn00000003\n"), annotations,
                  "line 1 names \"val_5.JPEG\"; expected an image in");
    check_refused(with(annotations, "val_6.JPEG\tn00000003\nval_6.JPEG\tn00000002\n"), annotations,
                  "line 2 names \"val_6.JPEG\" again");
    check_refused(with(annotations, "val_6.JPEG\tn00000003\nval_8.JPEG\tn00000001\n"),
                  "val/images/val_7.JPEG", "has no annotation");
}

}  // namespace
}  // namespace cnpd::datasets
