// Tiny CIFAR-10 batches and image folders, made of random images.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "datasets/cifar10/cifar10.h"
#include "datasets/dataset.h"
#include "datasets/image.h"

namespace cnpd::tests {

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

inline void write_file(const std::filesystem::path& path, std::string_view contents) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
    REQUIRE(file.flush().good());
}

// 32x32 images with these labels.
inline datasets::Images random_images(std::vector<std::int32_t> labels) {
    static std::mt19937 generator(1357);
    datasets::Images images{
        .n = static_cast<std::int64_t>(labels.size()), .h = 32, .w = 32, .c = 3};
    images.pixels.resize(images.n * datasets::cifar10::kImageBytes);
    for (auto& value : images.pixels) value = static_cast<std::uint8_t>(generator());
    images.labels = std::move(labels);
    return images;
}

// Image i of a batch in CIFAR-10's layout, [3,32,32].
inline std::string planes_of(const datasets::Images& images, std::int64_t i) {
    std::string planes;
    for (int c = 0; c < 3; ++c)
        for (int p = 0; p < 32 * 32; ++p)
            planes += static_cast<char>(images.pixels[(i * 32 * 32 + p) * 3 + c]);
    return planes;
}

inline std::string binary_batch(const datasets::Images& images) {
    std::string file;
    for (std::int64_t i = 0; i < images.n; ++i)
        file += static_cast<char>(images.labels[i]) + planes_of(images, i);
    return file;
}

inline std::string text_names() {
    std::string file;
    for (const auto name : datasets::cifar10::kClassNames) file += fmt::format("{}\n", name);
    return file + "\n";
}

// Writes pickles opcode by opcode, like Python 2's cPickle with protocol 2.
class PickleWriter {
  public:
    std::string text = "\x80\x02";

    PickleWriter& raw(std::string_view opcodes) {
        text += opcodes;
        return *this;
    }
    PickleWriter& number(std::uint32_t value, int bytes) {
        for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
        return *this;
    }
    PickleWriter& integer(std::int64_t value) {
        if (value >= 0 && value < 256) return raw("K").number(static_cast<std::uint32_t>(value), 1);
        if (value >= 0 && value < 65536)
            return raw("M").number(static_cast<std::uint32_t>(value), 2);
        return raw("J").number(static_cast<std::uint32_t>(value), 4);
    }
    PickleWriter& remember() {
        if (memo_ < 256)
            raw("q").number(memo_, 1);
        else
            raw("r").number(memo_, 4);
        ++memo_;
        return *this;
    }
    PickleWriter& string(std::string_view value) {
        if (value.size() < 256)
            raw("U").number(static_cast<std::uint32_t>(value.size()), 1);
        else
            raw("T").number(static_cast<std::uint32_t>(value.size()), 4);
        return raw(value);
    }
    // An array whose data is text of less than 2^32 bytes.
    PickleWriter& array(std::int64_t rows, std::int64_t columns, std::string_view data) {
        raw("cnumpy.core.multiarray\n_reconstruct\n").remember().raw("cnumpy\nndarray\n");
        remember().integer(0).raw("\x85").remember().string("b").raw("\x87").remember().raw("R");
        remember().raw("(").integer(1).integer(rows).integer(columns).raw("\x86").remember();
        raw("cnumpy\ndtype\n").remember().string("u1").integer(0).integer(1).raw("\x87");
        remember().raw("R").remember().raw("(").integer(3).string("|").raw("NNN");
        integer(-1).integer(-1).integer(0).raw("t").remember().raw("b\x89").string(data);
        return raw("t").remember().raw("b");
    }

  private:
    std::uint32_t memo_ = 0;
};

inline std::string python_batch(const datasets::Images& images) {
    PickleWriter pickle;
    pickle.raw("}").remember().raw("(");
    pickle.string("batch_label").remember().string("training batch 1 of 5").remember();
    pickle.string("labels").remember().raw("]").remember().raw("(");
    for (const std::int32_t label : images.labels) pickle.integer(label);
    pickle.raw("e").string("data").remember();
    std::string data;
    for (std::int64_t i = 0; i < images.n; ++i) data += planes_of(images, i);
    pickle.array(images.n, datasets::cifar10::kImageBytes, data);
    pickle.string("filenames").remember().raw("]").remember().raw("(");
    for (std::int64_t i = 0; i < images.n; ++i)
        pickle.string(fmt::format("camion_s_{:06}.png", i)).remember();
    return pickle.raw("eu.").text;
}

inline std::string python_names() {
    PickleWriter pickle;
    pickle.raw("}").remember().raw("(");
    pickle.string("num_cases_per_batch").remember().integer(10'000);
    pickle.string("label_names").remember().raw("]").remember().raw("(");
    for (const auto name : datasets::cifar10::kClassNames) pickle.string(name).remember();
    return pickle.raw("e").string("num_vis").remember().integer(3072).raw("u.").text;
}

inline std::string png_of(const datasets::Images& images, std::int64_t i) {
    const std::int64_t bytes = images.h * images.w * images.c;
    const auto file = datasets::encode_png(std::span(images.pixels).subspan(i * bytes, bytes),
                                           images.h, images.w, images.c);
    return {file.begin(), file.end()};
}

// CIFAR-10 with ten images in each batch, sorted by class, so that an image folder has the same
// order.
struct TinyCifar10 {
    static constexpr std::int64_t kImagesPerBatch = 10;
    std::vector<datasets::Images> train;
    datasets::Images test = random_images({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});

    TinyCifar10() {
        for (int batch = 0; batch < 5; ++batch) {
            std::vector<std::int32_t> labels(kImagesPerBatch, 2 * batch);
            std::fill(labels.begin() + 5, labels.end(), 2 * batch + 1);
            train.push_back(random_images(std::move(labels)));
        }
    }
    void write_binary(const std::filesystem::path& folder) const {
        for (int batch = 0; batch < 5; ++batch)
            write_file(folder / fmt::format("data_batch_{}.bin", batch + 1),
                       binary_batch(train[batch]));
        write_file(folder / "test_batch.bin", binary_batch(test));
        write_file(folder / "batches.meta.txt", text_names());
    }
    void write_python(const std::filesystem::path& folder) const {
        for (int batch = 0; batch < 5; ++batch)
            write_file(folder / fmt::format("data_batch_{}", batch + 1),
                       python_batch(train[batch]));
        write_file(folder / "test_batch", python_batch(test));
        write_file(folder / "batches.meta", python_names());
    }
    void write_folder(const std::filesystem::path& folder) const {
        for (int batch = 0; batch < 5; ++batch) write_images(train[batch], batch, folder / "train");
        write_images(test, 0, folder / "test");
    }

  private:
    static void write_images(const datasets::Images& images, int batch,
                             const std::filesystem::path& folder) {
        for (std::int64_t i = 0; i < images.n; ++i)
            write_file(folder / datasets::cifar10::kClassNames[images.labels[i]] /
                           fmt::format("{}{:02}.png", batch, i),
                       png_of(images, i));
    }
};

}  // namespace cnpd::tests
