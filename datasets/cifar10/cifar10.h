// CIFAR-10 in the layouts that people have it in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/dataset.h"

namespace cnpd::datasets::cifar10 {

inline constexpr std::int64_t kSize = 32;  // pixels a side
inline constexpr std::int64_t kImageBytes = kSize * kSize * 3;
inline constexpr std::int64_t kBatches = 5;              // of training images
inline constexpr std::int64_t kImagesPerBatch = 10'000;  // in each of them and in the test batch
inline constexpr std::array<std::string_view, 10> kClassNames = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

// Reads the directory or archive `options.data`, or cifar-10-batches-bin/, cifar-10-batches-py/ or
// cifar10/ in it, whichever comes first; a directory may also hold the official archives,
// cifar-10-binary.tar.gz or cifar-10-python.tar.gz. What is found is either
//   data_batch_1.bin .. data_batch_5.bin, test_batch.bin   the official binary batches,
//   data_batch_1 .. data_batch_5, test_batch               the official Python batches, or
//   train/<class>/*, test/<class>/*                        images (datasets/image_folder.h),
// and with batches, batches.meta.txt or batches.meta may say the classes' names. Images of a folder
// that are not 32x32 are resized, and its ten classes are numbered in the order of their names,
// which is the official one.
//
// `images_per_batch` is for tests. Throws FileError for anything that is not as described.
Dataset load(const LoadOptions& options, std::int64_t images_per_batch = kImagesPerBatch);

// The readers of single files append to `images`. `path` is for messages. Each throws FileError
// unless the file holds exactly `count` images with labels below 10 and nothing else.

// Binary: for each image a label's byte, then the red, green and blue planes.
void read_binary_batch(std::span<const std::byte> file, std::string_view path, std::int64_t count,
                       Images& images);
// Python: a pickled dictionary with `labels`, a list, and `data`, a numpy array of uint8
// [count,3072] with the three planes in each row.
void read_python_batch(std::span<const std::byte> file, std::string_view path, std::int64_t count,
                       Images& images);

// The names of the classes, which have to be the official ones. Text has one a line; pickled they
// are `label_names` of a dictionary.
std::vector<std::string> read_text_names(std::string_view text, std::string_view path);
std::vector<std::string> read_python_names(std::span<const std::byte> file, std::string_view path);

}  // namespace cnpd::datasets::cifar10
