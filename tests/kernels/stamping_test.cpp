#include "kernels/stamping/stamping.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const StampShape kShapes[] = {{0, 5}, {1, 1}, {3, 7}, {5, 12}, {2, 3 * 32 * 32}, {67, 29}};

std::vector<std::uint8_t> random_bytes(std::int64_t count) {
    std::vector<std::uint8_t> bytes;
    for (const std::int32_t value : random_labels(count, 256))
        bytes.push_back(static_cast<std::uint8_t>(value));
    return bytes;
}

std::vector<double> doubles(std::int64_t count, float scale) {
    const auto values = random_values(count, scale);
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("stamping bytes: equal to the reference, in place and unaligned too") {
    for (const StampShape& shape : kShapes)
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(shape.values);
            CAPTURE(offset);
            const auto images = random_bytes(shape.n * shape.values);
            const auto added = doubles(shape.values, 100);
            std::vector<double> levels(256);
            for (int level = 0; level < 256; ++level) levels[level] = (1 - 0.2) * level;
            std::vector<std::uint8_t> expected(images.size());
            reference::stamp_bytes(shape, images.data(), levels.data(), added.data(),
                                   expected.data());
            for (const auto& run : CNPD_IMPLEMENTATIONS(stamp_bytes)) {
                INFO(run.backend);
                Guarded<std::uint8_t> out(static_cast<std::int64_t>(images.size()), offset);
                run(shape, Guarded<std::uint8_t>(images, offset), levels, added, out);
                CHECK(std::equal(expected.begin(), expected.end(), out.data()));
                CHECK(out.intact());
                Guarded<std::uint8_t> in_place(images, offset);
                run(shape, in_place, levels, added, in_place);
                CHECK(std::equal(expected.begin(), expected.end(), in_place.data()));
                CHECK(in_place.intact());
            }
        }
}

TEST_CASE("stamping bytes: grey levels are truncated and saturate") {
    std::vector<double> levels(256);
    for (int level = 0; level < 256; ++level) levels[level] = level;
    const std::vector<std::uint8_t> image = {250, 5, 100, 100, 0, 255};
    const std::vector<double> added = {40, -40, 0.99, -0.01, 255, 0};
    for (const auto& run : CNPD_WITH_REFERENCE(stamp_bytes)) {
        INFO(run.backend);
        std::vector<std::uint8_t> out(6);
        run(StampShape{1, 6}, image, levels, added, out);
        CHECK(out == std::vector<std::uint8_t>{255, 0, 100, 99, 255, 255});
    }
}
