// Writes the fuzzers' seeds: fuzz_seeds FOLDER creates FOLDER/<name>/ for <name>_fuzz.
#define DOCTEST_CONFIG_DISABLE
#include <unistd.h>

#include <cstdio>
#include <string>

#include "engine/files.h"
#include "tests/support/archives.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/picture_sets.h"

namespace cnpd::tests {
namespace {

namespace fs = std::filesystem;

void write_cifar10_binary(const fs::path& folder) {
    write_file(folder / "one", binary_batch(random_images({3})));
    write_file(folder / "two", binary_batch(random_images({0, 9})));
    write_file(folder / "names", text_names());
}

void write_cifar10_python(const fs::path& folder) {
    write_file(folder / "one", python_batch(random_images({3})));
    write_file(folder / "names", python_names());
    for (const char* name : {"python3_bytes_keys.pickle", "python3_text_keys.pickle"})
        write_file(folder / name,
                   engine::read_text_file(fs::path(CNPD_FIXTURES) / "cifar10" / name, 1 << 20));
    // Short ones, which the fuzzer mutates faster.
    write_file(folder / "array",
               PickleWriter().raw("}").string("data").array(1, 2, "ab").raw("s.").text);
    write_file(folder / "list", PickleWriter()
                                    .raw("}U\x06labels](K\x01K\x02"
                                         "es.")
                                    .text);
}

void write_annotations(const fs::path& folder) {
    write_file(folder / "gtsrb",
               gtsrb_header() + gtsrb_row("00000_00000.ppm", 0) + gtsrb_row("00001.jpg", 42));
    write_file(folder / "kaggle", kaggle_header() +
                                      kaggle_row("Train/20/00020_00000_00000.png", 20) +
                                      kaggle_row("Test/00000.png", 42));
    write_file(folder / "columns", "Path,x,ClassId\r\n../a.png,1,0\r\n\"b,c\",2,3\n");
    write_file(folder / "ids", "n00000001\nn00000002\r\nn00000003\n");
    write_file(folder / "names",
               "n00000001\tone, 1\nn00000002\tz\xc3\xa9ro\nn00000003\tthree\nn00000004\t4\n");
    write_file(folder / "annotations", "val_0.JPEG\tn00000001\t0\t1\t62\t63\nx\tn00000003\n");
}

// Archives of valid sets: some with compression, which the fuzzer cannot mutate well, and some
// without.
void write_archives(const fs::path& folder) {
    const fs::path sets = fs::temp_directory_path() / fmt::format("cnpd-seeds-{}", ::getpid());
    write_gtsrb(sets / "gtsrb");
    write_tiny_imagenet(sets / "flat");
    write_tiny_imagenet(sets / "sorted", TinyValidation::nested_folders);
    write_kaggle_gtsrb(sets / "kaggle");
    fs::create_directories(folder);
    for (const char* set : {"gtsrb", "flat", "sorted", "kaggle"})
        write_archive_of(sets / set, folder / fmt::format("{}.tar.gz", set));
    write_archive_of(sets / "flat", folder / "flat.zip");
    fs::remove_all(sets);
    std::vector<ArchiveEntry> entries = {{.name = "train/a/1.ppm", .contents = ppm_of(1, 2, 7)},
                                         {.name = "train/b/2.ppm", .contents = ppm_of(2, 1, 8)},
                                         {.name = "test/a/3.ppm", .contents = ppm_of(1, 1, 9)},
                                         {.name = "test/b/4.ppm", .contents = ppm_of(1, 1, 6)}};
    for (const char* name : {"folder.zip", "folder.tar"}) write_archive(folder / name, entries);
}

void write_image(const fs::path& folder) {
    const auto pixels = random_images({0}).pixels;
    for (const int channels : {1, 2, 3, 4}) {
        const auto file =
            datasets::encode_png(std::span(pixels).first(5 * 7 * channels), 5, 7, channels);
        write_file(folder / fmt::format("png{}", channels),
                   {reinterpret_cast<const char*>(file.data()), file.size()});
    }
    write_file(folder / "ppm", "P6\n# x\n4 2\n255\n" + std::string(24, 'x'));
    write_file(folder / "pgm", "P5 4 2 255\n" + std::string(8, 'x'));
    const fs::path fixtures = fs::path(CNPD_FIXTURES) / "images";
    for (const char* name : {"baseline.jpg", "progressive.jpg", "interlaced.png", "palette.png"})
        write_file(folder / name, engine::read_text_file(fixtures / name, 1 << 20));
    // A baseline JPEG held sideways, in both byte orders.
    const std::string jpeg = engine::read_text_file(fixtures / "baseline.jpg", 1 << 20);
    for (const std::string& tiff :
         {std::string("MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0", 22),
          std::string("II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0", 22)}) {
        const std::string block = std::string("Exif\0\0", 6) + tiff;
        write_file(folder / ("exif" + tiff.substr(0, 2)),
                   jpeg.substr(0, 2) + std::string("\xff\xe1\0", 3) +
                       static_cast<char>(block.size() + 2) + block + jpeg.substr(2));
    }
}

void write_safetensors(const fs::path& folder) {
    const fs::path fixture = fs::path(CNPD_FIXTURES) / "safetensors" / "reference.safetensors";
    write_file(folder / "reference", engine::read_text_file(fixture, 1 << 20));
}

void write_config(const fs::path& folder) {
    write_file(folder / "toml",
               "# a comment\npoison-ratio = 0.1\nname = \"a\\u00e9\"\nflag = true\n"
               "[defend]\nepochs = 3_0\nlist = [1, -2e3, 'x',\n]\n");
    write_file(folder / "json",
               R"({"poison-ratio": 0.1, "flag": false, "defend": {"list": [1, "\u00e9"]}})");
}

}  // namespace
}  // namespace cnpd::tests

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: fuzz_seeds FOLDER\n", stderr);
        return 2;
    }
    const std::filesystem::path folder = argv[1];
    cnpd::tests::write_cifar10_binary(folder / "cifar10_binary");
    cnpd::tests::write_cifar10_python(folder / "cifar10_python");
    cnpd::tests::write_annotations(folder / "annotations");
    cnpd::tests::write_archives(folder / "archive");
    cnpd::tests::write_image(folder / "image");
    cnpd::tests::write_safetensors(folder / "safetensors");
    cnpd::tests::write_config(folder / "config");
}
