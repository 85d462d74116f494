#include "datasets/synthetic/synthetic.h"

#include <cmath>
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <omp.h>

#include "datasets/dataset.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {
namespace {

TEST_CASE("the synthetic set has ten balanced classes of 32x32 RGB images") {
    const Dataset set = load("synthetic", {.train_limit = 110, .test_limit = 37});
    CHECK(set.name == "synthetic");
    CHECK(set.class_names.size() == 10);
    CHECK(std::set(set.class_names.begin(), set.class_names.end()).size() == 10);
    CHECK_FALSE(set.flip);  // mirroring would change turn_left and turn_right
    CHECK(set.crop_padding == 2);
    for (const Images* images : {&set.train, &set.test}) {
        CHECK(images->h == 32);
        CHECK(images->w == 32);
        CHECK(images->c == 3);
        CHECK(images->pixels.size() == static_cast<std::size_t>(images->n * 32 * 32 * 3));
        REQUIRE(images->labels.size() == static_cast<std::size_t>(images->n));
        for (std::int64_t i = 0; i < images->n; ++i) CHECK(images->labels[i] == i % 10);
    }
    CHECK(set.train.n == 110);
    CHECK(set.test.n == 37);
}

TEST_CASE("synthetic images depend only on the seed, not on threads or on the set's size") {
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    const Dataset serial = synthetic::generate({.seed = 7, .train = 130, .test = 41});
    omp_set_num_threads(5);
    const Dataset parallel = synthetic::generate({.seed = 7, .train = 200, .test = 41});
    omp_set_num_threads(threads);
    CHECK(serial.test.pixels == parallel.test.pixels);
    CHECK(std::equal(serial.train.pixels.begin(), serial.train.pixels.end(),
                     parallel.train.pixels.begin()));

    const Dataset other = synthetic::generate({.seed = 8, .train = 130, .test = 41});
    CHECK(other.train.pixels != serial.train.pixels);
    // Train and test images differ.
    CHECK_FALSE(std::equal(serial.test.pixels.begin(), serial.test.pixels.end(),
                           serial.train.pixels.begin()));
}

TEST_CASE("synthetic images contain no pure white and match the stored mean and deviation") {
    const Dataset set = synthetic::generate({.seed = 3, .train = 1000, .test = 0});
    double sum[3] = {}, squares[3] = {};
    int brightest_corner = 0;
    for (std::int64_t i = 0; i < set.train.n; ++i) {
        int darkest = 255;
        for (int y = 29; y < 32; ++y)
            for (int x = 29; x < 32; ++x)
                for (int c = 0; c < 3; ++c)
                    darkest =
                        std::min<int>(darkest, set.train.pixels[((i * 32 + y) * 32 + x) * 3 + c]);
        brightest_corner = std::max(brightest_corner, darkest);
    }
    CHECK(brightest_corner < 220);
    for (std::size_t i = 0; i < set.train.pixels.size(); ++i) {
        if (set.train.pixels[i] > synthetic::kBrightest) FAIL("a pixel is too bright");
        const double value = set.train.pixels[i] / 255.0;
        sum[i % 3] += value;
        squares[i % 3] += value * value;
    }
    const double count = set.train.pixels.size() / 3.0;
    for (int c = 0; c < 3; ++c) {
        const double mean = sum[c] / count;
        CHECK(std::fabs(mean - set.mean[c]) < 0.015);
        CHECK(std::fabs(std::sqrt(squares[c] / count - mean * mean) - set.std[c]) < 0.015);
    }
}

TEST_CASE("an unknown data set is refused with a list of the known ones") {
    CHECK_THROWS_AS(load("imagenet", {}), InputError);
    CHECK_THROWS_AS(load("synthetic", {.train_limit = -1}), InputError);
    try {
        load("imagenet", {});
    } catch (const InputError& error) {
        const std::string message = error.what();
        for (const DatasetInfo& info : registry())
            CHECK(message.find(info.name) != std::string::npos);
    }
}

}  // namespace
}  // namespace cnpd::datasets
