#include "datasets/batches.h"

#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include "kernels/common/error.h"

using namespace cnpd;
using namespace cnpd::datasets;
using engine::Shape;
using engine::Tensor;

namespace {

constexpr std::int64_t kHeight = 4, kWidth = 5, kChannels = 3;

Images random_images(std::int64_t count) {
    Images images{.n = count, .h = kHeight, .w = kWidth, .c = kChannels};
    std::uint32_t state = 12345;
    for (std::int64_t i = 0; i < count * kHeight * kWidth * kChannels; ++i) {
        state = state * 1664525 + 1013904223;
        images.pixels.push_back(static_cast<std::uint8_t>(state >> 24));
    }
    for (std::int64_t i = 0; i < count; ++i)
        images.labels.push_back(static_cast<std::int32_t>(i % 7));
    return images;
}

BatchSource source_of(const Images& images) {
    return {images, {0.5f, 0.25f, 0.125f}, {0.25f, 0.5f, 2.0f}, {}};
}

using Indices = std::vector<std::int32_t>;

Indices all_of(const EpochOrder& order) {
    Indices all;
    for (std::int64_t batch = 0; batch < order.batches(); ++batch)
        all.insert(all.end(), order.batch(batch).begin(), order.batch(batch).end());
    return all;
}

}  // namespace

TEST_CASE("an epoch visits every image once") {
    const EpochOrder order(12, 4, 1, 0);
    CHECK(order.batches() == 3);
    for (std::int64_t batch = 0; batch < 3; ++batch) CHECK(order.batch(batch).size() == 4);
    Indices all = all_of(order);
    CHECK(!std::is_sorted(all.begin(), all.end()));
    std::sort(all.begin(), all.end());
    for (std::int32_t i = 0; i < 12; ++i) CHECK(all[i] == i);
}

TEST_CASE("the last, incomplete batch is dropped unless it is the only one") {
    struct Case {
        std::int64_t count, batch_size, batches, images;
    };
    for (const Case& c : {Case{14, 4, 3, 12}, Case{3, 4, 1, 3}, Case{4, 4, 1, 4}, Case{1, 1, 1, 1},
                          Case{7, 1, 7, 7}, Case{0, 4, 0, 0}}) {
        CAPTURE(c.count);
        const EpochOrder order(c.count, c.batch_size, 1, 0);
        CHECK(order.batches() == c.batches);
        CHECK(EpochOrder::batches_of(c.count, c.batch_size) == c.batches);
        const Indices all = all_of(order);
        CHECK(static_cast<std::int64_t>(all.size()) == c.images);
        CHECK(std::set(all.begin(), all.end()).size() == all.size());
    }
    // Different epochs drop different images.
    const Indices first = all_of({14, 4, 1, 0}), second = all_of({14, 4, 1, 1});
    CHECK(std::set(first.begin(), first.end()) != std::set(second.begin(), second.end()));
}

TEST_CASE("an epoch's indices and labels are on the device") {
    const Images images = random_images(11);
    const BatchSource source = source_of(images);
    const Epoch epoch(source, 4, 3, 2);
    const EpochOrder order(11, 4, 3, 2);
    CHECK(epoch.number() == 2);
    for (std::int64_t batch = 0; batch < 2; ++batch) {
        const auto expected = order.batch(batch);
        CHECK(epoch.indices(batch).to_host<std::int32_t>() ==
              Indices(expected.begin(), expected.end()));
        CHECK(epoch.labels(batch).to_host<std::int32_t>() ==
              source.labels(expected).to_host<std::int32_t>());
        CHECK(source.input(epoch.indices(batch)).to_host<float>() ==
              source.input(expected).to_host<float>());
        CHECK(source.pixels(epoch.indices(batch)).to_host<float>() ==
              source.pixels(expected).to_host<float>());
    }
    CHECK(Epoch(source, 20, 0, 0).indices(0).shape() == Shape{11});
}

TEST_CASE("the order depends only on seed and epoch") {
    const Indices order = all_of({50, 10, 3, 2});
    CHECK(all_of({50, 10, 3, 2}) == order);
    CHECK(all_of({50, 25, 3, 2}) == order);
    CHECK(all_of({50, 10, 4, 2}) != order);
    CHECK(all_of({50, 10, 3, 3}) != order);
}

TEST_CASE("batches hold the requested images, normalised or as pixels") {
    const Images images = random_images(9);
    const BatchSource source = source_of(images);
    CHECK(source.size() == 9);
    CHECK(source.host_labels() == images.labels);
    const Indices indices{8, 0, 3, 3};
    const Tensor pixels = source.pixels(indices), input = source.input(indices);
    REQUIRE(pixels.shape() == Shape{4, kHeight, kWidth, kChannels});
    REQUIRE(input.shape() == pixels.shape());
    const std::vector<float> p = pixels.to_host<float>(), x = input.to_host<float>();
    const double mean[] = {0.5, 0.25, 0.125}, std[] = {0.25, 0.5, 2.0};
    const std::int64_t size = kHeight * kWidth * kChannels;
    for (std::size_t i = 0; i < p.size(); ++i) {
        const double pixel = images.pixels[indices[i / size] * size + i % size] / 255.0;
        CHECK(p[i] == doctest::Approx(pixel).epsilon(1e-6));
        CHECK(std::abs(x[i] - (pixel - mean[i % 3]) / std[i % 3]) <= 1e-6);
    }
    CHECK(source.labels(indices).to_host<std::int32_t>() == std::vector<std::int32_t>{1, 0, 3, 3});
    CHECK(source.mean().to_host<float>() == std::vector<float>{0.5f, 0.25f, 0.125f});
    CHECK(source.inverse_std().to_host<float>() == std::vector<float>{4, 2, 0.5f});
}

TEST_CASE("an image's augmentation does not depend on its batch") {
    const BatchSource source = source_of(random_images(40));
    const Augmentation augmentation{.crop_padding = 2, .flip = true, .seed = 5, .epoch = 3};
    Indices everything(40);
    for (std::int32_t i = 0; i < 40; ++i) everything[i] = i;
    const Tensor together = source.input(everything, augmentation);
    int changed = 0;
    for (const std::int32_t i : {0, 1, 7, 39, 20}) {
        const Indices batch{13, i, 2};
        const Tensor among_others = source.input(batch, augmentation);
        const Tensor alone = source.input(std::span(&i, 1), augmentation);
        CHECK(alone.to_host<float>() == together.rows(i, 1).to_host<float>());
        CHECK(alone.to_host<float>() == among_others.rows(1, 1).to_host<float>());
        changed += alone.to_host<float>() != source.input(std::span(&i, 1)).to_host<float>();
    }
    CHECK(changed > 0);
    // Pixels and normalised input get the same crop and flip; padding is black in both.
    const std::vector<float> pixels = source.pixels(everything, augmentation).to_host<float>(),
                             input = together.to_host<float>();
    const float mean[] = {0.5f, 0.25f, 0.125f}, inverse[] = {4, 2, 0.5f};
    for (std::size_t i = 0; i < pixels.size(); ++i)
        REQUIRE(std::abs(input[i] - (pixels[i] - mean[i % 3]) * inverse[i % 3]) <= 1e-6f);

    for (const Augmentation& other :
         {Augmentation{.crop_padding = 2, .flip = true, .seed = 6, .epoch = 3},
          Augmentation{.crop_padding = 2, .flip = true, .seed = 5, .epoch = 4}})
        CHECK(source.input(everything, other).to_host<float>() != together.to_host<float>());
    CHECK(source.input(everything, augmentation).to_host<float>() == together.to_host<float>());
}

TEST_CASE("batches refuse indices out of range and mismatched sizes") {
    const Images images = random_images(3);
    const BatchSource source = source_of(images);
    for (const std::int32_t index : {-1, 3}) {
        const Indices indices{0, index};
        CHECK_THROWS_AS(source.input(indices), Error);
        CHECK_THROWS_AS(source.pixels(indices), Error);
    }
    CHECK_THROWS_AS(BatchSource(images, {0.5f}, {1, 1, 1}, {}), ShapeError);
    CHECK_THROWS_AS(BatchSource(images, {0, 0, 0}, {1, 1}, {}), ShapeError);
    Images short_of_labels = images;
    short_of_labels.labels.pop_back();
    CHECK_THROWS_AS(source_of(short_of_labels), ShapeError);
    Images short_of_pixels = images;
    short_of_pixels.pixels.pop_back();
    CHECK_THROWS_AS(source_of(short_of_pixels), ShapeError);
}
