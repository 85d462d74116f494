// CIFAR-10 in its common layouts.
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

// Reads the directory or archive `options.data`, or the first of cifar-10-batches-bin/,
// cifar-10-batches-py/ and cifar10/ in it. A directory may also hold one of the official archives,
// cifar-10-binary.tar.gz or cifar-10-python.tar.gz. The layouts are
//   data_batch_1.bin .. data_batch_5.bin, test_batch.bin   the official binary batches,
//   data_batch_1 .. data_batch_5, test_batch               the official Python batches, or
//   train/<class>/*, test/<class>/*                        images (datasets/image_folder.h).
// Batches may come with the class names in batches.meta.txt or batches.meta. Images of an image
// folder are resized to 32x32. Its ten classes are numbered in the order of their names, which is
// the official order.
//
// Tests change `images_per_batch`. Throws FileError for any other contents.
Dataset load(const LoadOptions& options, std::int64_t images_per_batch = kImagesPerBatch);

// Readers of single files. They append to `images`; `path` is used in messages. They throw
// FileError unless the file holds exactly `count` images with labels below 10 and nothing else.

// Binary: for each image one byte with the label, then the red, green and blue planes.
void read_binary_batch(std::span<const std::byte> file, std::string_view path, std::int64_t count,
                       Images& images);
// Python: a pickled dictionary with a list `labels` and a numpy array `data`, uint8 [count,3072],
// whose rows each hold the three planes.
void read_python_batch(std::span<const std::byte> file, std::string_view path, std::int64_t count,
                       Images& images);

// The class names, which have to be the official ones. A text file has one name per line; a pickled
// dictionary has the list `label_names`.
std::vector<std::string> read_text_names(std::string_view text, std::string_view path);
std::vector<std::string> read_python_names(std::span<const std::byte> file, std::string_view path);

}  // namespace cnpd::datasets::cifar10
