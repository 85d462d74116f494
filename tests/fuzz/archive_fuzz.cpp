// Reads: datasets/files/archive.cpp datasets/files/archive_reader.cpp datasets/gtsrb/gtsrb.cpp
// Reads: datasets/tiny_imagenet/tiny_imagenet.cpp datasets/image_folder.cpp

// Any bytes give a tree of files or a FileError of one line, and any tree of files gives a data set
// or a FileError of one line.
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>
#include <omp.h>

#include "datasets/dataset.h"
#include "datasets/files/file_tree.h"
#include "datasets/files/names.h"
#include "kernels/common/error.h"

namespace {

using namespace cnpd;
using namespace cnpd::datasets;

constexpr std::int64_t kMostBytes = 1000;

void collect(const FileTree& tree, const std::string& folder, std::vector<std::string>& files) {
    for (const std::string& name : tree.list(folder)) {
        if (!is_printable(name) || name == ".." || name.find('/') != std::string::npos)
            __builtin_trap();
        const std::string path = join(folder, name);
        if (tree.has_folder(path) == tree.has_file(path)) __builtin_trap();
        if (tree.has_file(path))
            files.push_back(path);
        else
            collect(tree, path, files);
    }
}

void read_all(const std::string& path) {
    const auto tree = open_archive(path);
    std::vector<std::string> files;
    collect(*tree, "", files);
    std::size_t read = 0;
    tree->read(files, kMostBytes, [&](std::span<FileTree::File> batch) {
        for (const FileTree::File& file : batch)
            if (file.contents.size() > kMostBytes) __builtin_trap();
        read += batch.size();
    });
    if (read != files.size()) __builtin_trap();
}

void load_set(const std::string& path, const char* name) {
    const Dataset set = load(name, {.data = path, .image_size = 3});
    for (const Images* images : {&set.train, &set.test})
        if (images->pixels.size() != images->labels.size() * 3 * 3 * 3) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int file = ::memfd_create("fuzz", 0);
    static const std::string path = fmt::format("/proc/self/fd/{}", file);
    omp_set_num_threads(1);
    if (::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size))
        __builtin_trap();
    const auto attempt = [](const auto& read) {
        try {
            read();
        } catch (const FileError& error) {
            if (std::string_view(error.what()).find('\n') != std::string_view::npos)
                __builtin_trap();
        }
    };
    attempt([] { read_all(path); });
    for (const char* name : {"tiny-imagenet", "gtsrb", "folder"})
        attempt([=] { load_set(path, name); });
    return 0;
}
