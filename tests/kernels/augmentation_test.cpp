#include "kernels/augmentation/augmentation.h"

#include <numeric>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

std::vector<std::uint8_t> random_bytes(std::int64_t count) {
    static std::mt19937 generator(5);
    std::vector<std::uint8_t> bytes(count);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(generator());
    return bytes;
}

}  // namespace

TEST_CASE("augmentation equals the reference") {
    const std::int64_t shapes[][3] = {{1, 1, 1},   {5, 7, 3},   {4, 6, 2},
                                      {32, 32, 3}, {28, 28, 1}, {9, 400, 3}};
    const std::vector<float> mean = {0.49f, 0.48f, 0.45f}, inverse_std = {4.05f, 4.1f, 3.8f};
    for (const auto& [h, w, c] : shapes)
        for (const std::int64_t padding : {0, 2, 4, 9})
            for (const bool flip : {false, true})
                for (const bool normalise : {false, true}) {
                    CAPTURE(h);
                    CAPTURE(c);
                    CAPTURE(padding);
                    CAPTURE(flip);
                    Augmentation settings = {
                        .h = h,
                        .w = w,
                        .c = c,
                        .crop_padding = padding,
                        .flip = flip,
                        .seed = 11,
                        .epoch = 3,
                        .mean = normalise ? mean.data() : nullptr,
                        .inverse_std = normalise ? inverse_std.data() : nullptr};
                    const std::int64_t images = 20, count = 37;
                    const auto bytes = random_bytes(images * h * w * c);
                    const auto indices = random_labels(count, images);
                    Guarded<float> expected(count * h * w * c);
                    reference::augment(settings, bytes.data(), indices.data(), count,
                                       expected.data());
                    for (const auto& augment : CNPD_IMPLEMENTATIONS(augment))
                        for (const std::int64_t offset : {0, 1}) {
                            INFO(augment.backend);
                            CAPTURE(offset);
                            Staging staging(augment.memory);
                            settings.mean = normalise ? staging.pass(mean) : nullptr;
                            settings.inverse_std = normalise ? staging.pass(inverse_std) : nullptr;
                            Guarded<float> batch(count * h * w * c, offset);
                            augment(settings, bytes, indices, count, batch);
                            check_close(batch, expected, 2e-7, 1e-30, "batch");
                            CHECK(batch.intact());
                        }
                }
}

TEST_CASE("without augmentation a batch is the normalised images") {
    const std::vector<std::uint8_t> images = {0, 255, 51, 102};  // two images of two pixels
    const std::vector<std::int32_t> indices = {1, 0, 1};
    const std::vector<float> mean = {0.5f}, inverse_std = {2};
    const std::vector<float> expected = {-0.6f, -0.2f, -1, 1, -0.6f, -0.2f};
    for (const auto& augment : CNPD_WITH_REFERENCE(augment)) {
        INFO(augment.backend);
        Staging staging(augment.memory);
        const Augmentation settings = {.h = 1,
                                       .w = 2,
                                       .c = 1,
                                       .mean = staging.pass(mean),
                                       .inverse_std = staging.pass(inverse_std)};
        std::vector<float> batch(6);
        augment(settings, images, indices, 3, batch);
        check_close(batch, expected, 0, 1e-6, "batch");
        augment(settings, images, indices, 0, batch);
        check_close(batch, expected, 0, 1e-6, "batch, not touched");
    }
}

TEST_CASE("augmentation: more images than a grid has blocks") {
    const std::int64_t images = 100, count = 65536 + 77;
    const auto bytes = random_bytes(images);
    const auto indices = random_labels(count, images);
    const Augmentation settings = {.h = 1, .w = 1, .c = 1, .crop_padding = 1, .seed = 4};
    Guarded<float> expected(count);
    reference::augment(settings, bytes.data(), indices.data(), count, expected.data());
    for (const auto& augment : CNPD_IMPLEMENTATIONS(augment)) {
        INFO(augment.backend);
        Guarded<float> batch(count);
        augment(settings, bytes, indices, count, batch);
        check_close(batch, expected, 2e-7, 1e-30, "batch");
        CHECK(batch.intact());
    }
}

// For every byte: if a mean is close to a level, the difference must not lose digits.
TEST_CASE("normalisation is accurate to float rounding") {
    std::vector<std::uint8_t> image(256);
    std::iota(image.begin(), image.end(), std::uint8_t{0});
    const std::vector<std::int32_t> indices = {0};
    for (const float near : {0.1f, 0.3f, 51.001f / 255, 127.0005f / 255, 200.01f / 255}) {
        CAPTURE(near);
        const std::vector<float> mean = {near};
        Augmentation settings = {.h = 1, .w = 256, .c = 1, .mean = mean.data()};
        Guarded<float> expected(256);
        reference::augment(settings, image.data(), indices.data(), 1, expected.data());
        for (const auto& augment : CNPD_IMPLEMENTATIONS(augment)) {
            INFO(augment.backend);
            Staging staging(augment.memory);
            settings.mean = staging.pass(mean);
            Guarded<float> batch(256);
            augment(settings, image, indices, 1, batch);
            check_close(batch, expected, 2e-7, 1e-30, "batch");
        }
    }
}

TEST_CASE("offsets and flips are uniform") {
    // Pixel (row, column) has the value 8 row + column, so that the draw can be read from the
    // result.
    const std::int64_t size = 8, padding = 2, count = 20000;
    std::vector<std::uint8_t> image(size * size);
    std::iota(image.begin(), image.end(), std::uint8_t{0});
    std::vector<std::uint8_t> images;
    for (std::int64_t i = 0; i < count; ++i)
        images.insert(images.end(), image.begin(), image.end());
    std::vector<std::int32_t> indices(count);
    std::iota(indices.begin(), indices.end(), 0);
    std::vector<float> batch(count * size * size);
    const Augmentation settings = {
        .h = size, .w = size, .c = 1, .crop_padding = padding, .flip = true, .seed = 1};
    cpu::augment(settings, images.data(), indices.data(), count, batch.data());
    std::vector<double> cells(5 * 5 * 2, 0.0);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto pixel = [&](std::int64_t x) {
            return static_cast<std::int64_t>(std::lround(batch[(i * size + 4) * size + x] * 255));
        };
        const bool flipped = pixel(3) > pixel(4);
        const std::int64_t row = pixel(4) / 8 - 4 + padding;
        const std::int64_t column = pixel(4) % 8 - (flipped ? 3 : 4) + padding;
        REQUIRE((row >= 0 && row <= 4 && column >= 0 && column <= 4));
        cells[(row * 5 + column) * 2 + flipped] += 1;
    }
    const double each = static_cast<double>(count) / 50;
    double chi_squared = 0;
    for (const double seen : cells) chi_squared += (seen - each) * (seen - each) / each;
    CHECK(chi_squared < 95);  // 49 degrees of freedom: one seed in 10^4 exceeds this
}

TEST_CASE("an image's draw depends only on the seed, the epoch and its index") {
    const std::int64_t size = 16 * 16 * 3;
    const auto images = random_bytes(10 * size);
    for (const auto& augment : CNPD_IMPLEMENTATIONS(augment)) {
        INFO(augment.backend);
        Augmentation settings = {
            .h = 16, .w = 16, .c = 3, .crop_padding = 4, .flip = true, .seed = 9, .epoch = 5};
        const auto augmented = [&](const std::vector<std::int32_t>& indices, std::int64_t which) {
            const auto count = static_cast<std::int64_t>(indices.size());
            std::vector<float> batch(count * size);
            augment(settings, images, indices, count, batch);
            return std::vector<float>(batch.begin() + which * size,
                                      batch.begin() + (which + 1) * size);
        };
        const auto alone = augmented({7}, 0);
        CHECK(augmented({1, 2, 3, 7, 0}, 3) == alone);
        CHECK(augmented({7, 7}, 1) == alone);
        // 162 equally likely draws: eight equal ones by chance are practically impossible.
        int same_epoch = 0, same_seed = 0;
        for (int k = 1; k <= 8; ++k) {
            settings.epoch = 5 + k;
            same_epoch += augmented({7}, 0) == alone;
            settings.epoch = 5;
            settings.seed = 9 + k;
            same_seed += augmented({7}, 0) == alone;
            settings.seed = 9;
        }
        CHECK(same_epoch < 3);
        CHECK(same_seed < 3);
    }
}
