#include <fstream>
#include <set>
#include <string>

#include "datasets/files/file_tree.h"
#include "kernels/common/error.h"
#include "tests/support/archives.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"

namespace cnpd::datasets {
namespace {

namespace fs = std::filesystem;
using tests::ArchiveEntry;
using tests::ArchiveWriter;
using tests::message_of;
using tests::TemporaryDirectory;
using tests::write_archive;
using tests::write_file;

const char* const kFormats[] = {"a.zip", "a.tar.gz", "a.tar"};

// The error message of opening an archive with these entries.
std::string refusal(const std::string& name, const std::vector<ArchiveEntry>& entries) {
    const TemporaryDirectory folder;
    write_archive(folder / name, entries);
    const std::string message = message_of([&] { open_file_tree(folder / name); });
    CAPTURE(message);
    CHECK(message.starts_with((folder / name).string()));
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

void check_contains(const std::string& message, std::string_view part) {
    CAPTURE(message);
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
}

// Overwrites a number in a file, in little endian.
template <class T>
void overwrite(const fs::path& path, std::size_t place, T value) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(place));
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
    REQUIRE(file.good());
}

// Sets the size in the first header of a tar.
void declare_size(const fs::path& path, std::string_view octal) {
    constexpr std::size_t kHeader = 512, kSize = 124, kChecksum = 148, kChecksumBytes = 8;
    std::string file = engine::read_text_file(path, 1 << 20);
    file.replace(kSize, octal.size(), octal);
    file.replace(kChecksum, kChecksumBytes, kChecksumBytes, ' ');
    unsigned sum = 0;
    for (std::size_t i = 0; i < kHeader; ++i) sum += static_cast<unsigned char>(file[i]);
    file.replace(kChecksum, 7, fmt::format("{:06o}", sum) + '\0');
    write_file(path, file);
}

TEST_CASE("archives and directories give the same file tree") {
    const TemporaryDirectory folder;
    const std::string large(300'000, 'x');
    write_file(folder / "d/b/two.txt", "2");
    write_file(folder / "d/b/one.bin", large);
    write_file(folder / "d/b.c/x", "");
    write_file(folder / "d/a", "first");
    write_file(folder / "d/.hidden/x", "skipped");
    write_file(folder / "d/b/.x", "skipped");
    fs::create_directory(folder / "d/empty");
    for (const char* name : kFormats) tests::write_archive_of(folder / "d", folder / name);
    write_archive(folder / "dots.tar", {{.name = "./", .type = AE_IFDIR},
                                        {.name = "./b/./two.txt", .contents = "2"},
                                        {.name = "b//one.bin", .contents = large},
                                        {.name = "b.c/x"},
                                        {.name = "a", .contents = "first"},
                                        {.name = "empty/", .type = AE_IFDIR},
                                        {.name = "./empty", .type = AE_IFDIR}});
    for (const std::string name : {"d", "a.zip", "a.tar.gz", "a.tar", "dots.tar"}) {
        CAPTURE(name);
        const auto tree = open_file_tree(folder / name);
        CHECK(tree->list("") == std::vector<std::string>{"a", "b", "b.c", "empty"});
        CHECK(tree->list("b") == std::vector<std::string>{"one.bin", "two.txt"});
        CHECK(tree->list("empty").empty());
        CHECK(tree->has_file("b/two.txt"));
        CHECK_FALSE(tree->has_file("b"));
        CHECK_FALSE(tree->has_file("b/t"));
        CHECK(tree->has_folder(""));
        CHECK(tree->has_folder("b"));
        CHECK(tree->has_folder("empty"));
        CHECK_FALSE(tree->has_folder("a"));
        CHECK_FALSE(tree->has_folder("e"));
        CHECK(read_text_file(*tree, "b/one.bin", 300'000) == large);
        CHECK(read_text_file(*tree, "b.c/x", 1).empty());
        check_contains(message_of([&] { read_file(*tree, "b/one.bin", 299'999); }),
                       "b/one.bin: holds");
        check_contains(message_of([&] { read_file(*tree, "b/two.txt", 0); }), "b/two.txt: holds");
        CHECK(tree->full_name("b/two.txt") == (folder / name).string() + "/b/two.txt");
        CHECK(describe_contents(*tree, "") == R"(holds "a", "b", "b.c", "empty")");
        CHECK(describe_contents(*tree, "empty") == "is empty");
        CHECK(message_of([&] { read_file(*tree, "b/three", 1); }) != "no InputError");

        std::set<std::size_t> seen;
        tree->read({"b/two.txt", "a", "b/one.bin"}, 1 << 20, [&](std::span<FileTree::File> files) {
            for (const auto& [index, contents] : files) {
                seen.insert(index);
                CHECK(contents.size() == std::vector<std::size_t>{1, 5, 300'000}[index]);
            }
        });
        CHECK(seen == std::set<std::size_t>{0, 1, 2});
    }
}

TEST_CASE("many files are read in batches, each file once") {
    const TemporaryDirectory folder;
    std::vector<std::string> paths;
    for (int i = 0; i < 1100; ++i) {
        paths.push_back(fmt::format("f/{}", (i * 37) % 1100));
        write_file(folder / "d" / paths.back(), fmt::format("{}", i));
    }
    tests::write_archive_of(folder / "d", folder / "a.zip");
    for (const char* name : {"d", "a.zip"}) {
        const auto tree = open_file_tree(folder / name);
        std::vector<int> times(paths.size());
        tree->read(paths, 10, [&](std::span<FileTree::File> files) {
            CHECK(files.size() <= FileTree::kBatchFiles);
            for (const auto& [index, contents] : files) {
                const auto* text = reinterpret_cast<const char*>(contents.data());
                CHECK(std::string_view(text, contents.size()) == fmt::format("{}", index));
                ++times[index];
            }
        });
        CHECK(times == std::vector<int>(paths.size(), 1));
    }
}

TEST_CASE("an overlay reads a file from the first tree that has it") {
    const TemporaryDirectory folder;
    write_file(folder / "d/f/a", "directory");
    write_file(folder / "d/f/b", "directory");
    write_archive(folder / "a.zip", {{.name = "f/b", .contents = "zip"},
                                     {.name = "f/c", .contents = "zip"},
                                     {.name = "g/d", .contents = "zip"}});
    std::vector<std::unique_ptr<FileTree>> trees;
    trees.push_back(open_directory(folder / "d"));
    trees.push_back(open_archive(folder / "a.zip"));
    const auto tree = overlay("both", std::move(trees));
    CHECK(tree->list("") == std::vector<std::string>{"f", "g"});
    CHECK(tree->list("f") == std::vector<std::string>{"a", "b", "c"});
    CHECK(tree->has_folder("g"));
    std::vector<std::string> contents(4);
    tree->read({"g/d", "f/b", "f/c", "f/a"}, 10, [&](std::span<FileTree::File> files) {
        for (const FileTree::File& file : files)
            contents[file.index].assign(reinterpret_cast<const char*>(file.contents.data()),
                                        file.contents.size());
    });
    CHECK(contents == std::vector<std::string>{"zip", "directory", "zip", "directory"});
    CHECK(tree->full_name("g/d") == (folder / "a.zip/g/d").string());
    CHECK(tree->full_name("f/a") == (folder / "d/f/a").string());
    CHECK(tree->full_name("h") == "both/h");
    check_contains(message_of([&] { read_file(*tree, "f/e", 1); }), "f/e: is missing");
}

TEST_CASE("names that lead out of an archive, or occur twice, are refused") {
    for (const std::string name : kFormats) {
        CAPTURE(name);
        check_contains(refusal(name, {{.name = "../x"}}), "holds the name \"../x\"");
        check_contains(refusal(name, {{.name = "a/../../x"}}), "inside the archive");
        check_contains(refusal(name, {{.name = "a/.."}}), "inside the archive");
        check_contains(refusal(name, {{.name = "/etc/x"}}), "holds the name \"/etc/x\"");
        check_contains(refusal(name, {{.name = "a\nb"}}), "holds the name \"a\\x0ab\"");
        check_contains(refusal(name, {{.name = "a\xff"}}), "UTF-8");
        check_contains(refusal(name, {{.name = std::string(600, 'x')}}), "at most 512 bytes");
        check_contains(refusal(name, {{.name = "a/x"}, {.name = "b"}, {.name = "a/x"}}),
                       "a/x: is in the archive twice");
        check_contains(refusal(name, {{.name = "a/x"}, {.name = "./a//x"}}), "twice");
        check_contains(refusal(name, {{.name = "a"}, {.name = "a/x"}}),
                       "a: is in the archive as a file and as a folder");
        check_contains(refusal(name, {{.name = "a"}, {.name = "a.b"}, {.name = "a/x"}}),
                       "as a file and as a folder");
    }
    // Characters beyond ASCII are allowed.
    const TemporaryDirectory folder;
    for (const char* name : kFormats) {
        write_archive(folder / name, {{.name = "Übung/é", .contents = "x"}});
        CHECK(open_archive(folder / name)->has_file("Übung/é"));
    }
}

TEST_CASE("an archive may hold files and folders only") {
    check_contains(refusal("a.zip", {{.name = "x", .type = AE_IFLNK, .link = "/etc/passwd"}}),
                   "x: is a link");
    for (const std::string name : {"a.tar", "a.tar.gz"}) {
        check_contains(refusal(name, {{.name = "x", .type = AE_IFLNK, .link = "y"}}),
                       "x: is a link");
        check_contains(
            refusal(name, {{.name = "y"}, {.name = "x", .link = "y", .is_hard_link = true}}),
            "x: is a link");
        for (const unsigned type : {AE_IFCHR, AE_IFBLK, AE_IFIFO})
            check_contains(refusal(name, {{.name = "x", .type = type}}),
                           "x: is a device or another special file");
    }
}

TEST_CASE("empty, truncated, damaged and other files are refused as archives") {
    const TemporaryDirectory folder;
    const auto message = [&](const std::string& name) {
        return message_of([&] { open_file_tree(folder / name); });
    };
    write_file(folder / "empty", "");
    check_contains(message("empty"), "empty: is empty; expected a .zip, .tar.gz or .tar file");
    write_file(folder / "text", "a text\n");
    check_contains(message("text"), "text: is not an archive");
    check_contains(message("none"), "none: is missing");
    check_contains(message_of([] { open_file_tree("/dev/null"); }), "neither a directory nor");

    // Random bytes are incompressible.
    const auto noise = tests::random_images({0, 1, 2, 3}).pixels;
    const std::string contents(noise.begin(), noise.end());
    for (const std::string name : {"a.zip", "a.tar.gz", "a.tar"}) {
        CAPTURE(name);
        write_archive(folder / name,
                      {{.name = "x", .contents = contents}, {.name = "y", .contents = contents}});
        fs::resize_file(folder / name, fs::file_size(folder / name) / 3);
        CHECK(message(name).starts_with((folder / name).string()));
        CHECK(message(name).find('\n') == std::string::npos);
    }
    // Damaged bytes inside the compressed data.
    write_archive(folder / "b.zip", {{.name = "x", .contents = contents}});
    overwrite(folder / "b.zip", 5000, std::uint64_t{0x1234'5678});
    const auto tree = open_file_tree(folder / "b.zip");
    check_contains(message_of([&] { read_file(*tree, "x", 1 << 20); }), "b.zip/x: is damaged");

    // An archive compressed twice, and one that changes after it has been opened.
    write_archive(folder / "c.tar.gz", {{.name = "x", .contents = contents}});
    {
        const std::unique_ptr<archive, int (*)(archive*)> twice(archive_write_new(),
                                                                archive_write_free);
        archive_write_set_format_pax_restricted(twice.get());
        archive_write_add_filter_gzip(twice.get());
        archive_write_add_filter_gzip(twice.get());
        archive_write_open_filename(twice.get(), (folder / "d.tar.gz").c_str());
        const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                             archive_entry_free);
        archive_entry_set_pathname(entry.get(), "x");
        archive_entry_set_filetype(entry.get(), AE_IFREG);
        archive_entry_set_size(entry.get(), 0);
        archive_write_header(twice.get(), entry.get());
    }
    check_contains(message("d.tar.gz"), "compressed more than once");
    const auto changing = open_archive(folder / "c.tar.gz");
    write_archive(folder / "c.tar.gz", {{.name = "y", .contents = contents}});
    check_contains(message_of([&] { read_file(*changing, "x", 1 << 20); }), "has changed");
}

TEST_CASE("a zip with a password is refused") {
    const TemporaryDirectory folder;
    ArchiveWriter(folder / "a.zip", "secret").add({.name = "x", .contents = "hidden"});
    check_contains(message_of([&] { open_archive(folder / "a.zip"); }), "a.zip/x: is encrypted");
}

TEST_CASE("archive bombs are refused by declared and by actual size") {
    const TemporaryDirectory folder;
    const auto message = [&](const std::string& name) {
        return message_of([&] { open_archive(folder / name); });
    };
    // Seven files of zeros, 40 MB each, compress to about 280 kB, by more than a factor of 100.
    const std::string zeros(40'000'000, '\0');
    for (const char* name : {"a.zip", "a.tar.gz"}) {
        std::vector<ArchiveEntry> entries;
        for (int i = 0; i < 7; ++i)
            entries.push_back({.name = fmt::format("{}.ppm", i), .contents = zeros});
        write_archive(folder / name, entries);
        check_contains(message(name), "unpacks to over");
    }
    // Declares more bytes than any image may have, and has no data.
    write_archive(folder / "b.tar", {{.name = "x.ppm"}});
    declare_size(folder / "b.tar", "77777777777");
    check_contains(message("b.tar"), "b.tar/x.ppm: holds 8589934591 bytes; expected at most");

    // Declares 10 bytes and has 300 kB.
    write_archive(folder / "c.zip", {{.name = "x.ppm", .contents = std::string(300'000, 'x')}});
    const std::string file = engine::read_text_file(folder / "c.zip", 1 << 20);
    const std::size_t directory = file.rfind("PK\x01\x02");
    REQUIRE(directory != std::string::npos);
    constexpr std::size_t kUncompressedSize = 24;
    overwrite(folder / "c.zip", directory + kUncompressedSize, std::uint32_t{10});
    check_contains(
        message_of([&] { read_file(*open_archive(folder / "c.zip"), "x.ppm", 100'000); }),
        "c.zip/x.ppm");
}

}  // namespace
}  // namespace cnpd::datasets
