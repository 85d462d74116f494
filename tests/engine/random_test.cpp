// Each sequence has one fixed seed, so the statistical checks either always pass or always fail;
// their limits are five standard deviations.
#include "engine/random.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "kernels/common/philox.h"

using namespace cnpd;
using namespace cnpd::engine;

namespace {

std::vector<std::uint32_t> words(Generator generator, int count) {
    std::vector<std::uint32_t> values;
    for (int i = 0; i < count; ++i) values.push_back(generator.bits());
    return values;
}

}  // namespace

TEST_CASE("a sequence is Philox's blocks in order") {
    const std::vector<std::uint32_t> drawn = words(Generator(7, 3), 9);
    for (std::size_t i = 0; i < drawn.size(); ++i)
        CHECK(drawn[i] == kernels::philox(7, 3, i / 4).v[i % 4]);
}

TEST_CASE("different seeds and streams give different sequences, equal ones the same") {
    const auto first = words(Generator(1, 0), 8);
    CHECK(words(Generator(1, 0), 8) == first);
    CHECK(words(Generator(2, 0), 8) != first);
    CHECK(words(Generator(1, 1), 8) != first);
    CHECK(words(Generator(1, std::uint64_t{1} << 32), 8) != first);
}

TEST_CASE("a sequence resumes anywhere") {
    Generator whole(5);
    for (int i = 0; i < 3; ++i) whole.normal();
    whole.uniform();
    CHECK(whole.position() == 7);
    Generator resumed(5);
    resumed.seek(whole.position());
    CHECK(resumed.normal() == whole.normal());
    CHECK(resumed.permutation(20) == whole.permutation(20));
}

TEST_CASE("uniform numbers fill the interval from 0 to 1") {
    Generator generator(11);
    constexpr int kCount = 100'000;
    double sum = 0;
    std::vector<int> bins(10);
    for (int i = 0; i < kCount; ++i) {
        const float value = generator.uniform();
        REQUIRE(value >= 0);
        REQUIRE(value < 1);
        sum += value;
        ++bins[static_cast<int>(value * 10)];
    }
    CHECK(std::fabs(sum / kCount - 0.5) < 5 / std::sqrt(12.0 * kCount));
    for (const int bin : bins) CHECK(std::abs(bin - kCount / 10) < 5 * std::sqrt(0.09 * kCount));
}

TEST_CASE("below() reaches every number below its bound") {
    Generator generator(13);
    for (const std::uint32_t bound : {1u, 2u, 7u}) {
        std::vector<int> counts(bound);
        constexpr int kCount = 7000;
        for (int i = 0; i < kCount; ++i) {
            const std::uint32_t value = generator.below(bound);
            REQUIRE(value < bound);
            ++counts[value];
        }
        for (const int count : counts)
            CHECK(std::abs(count - kCount / static_cast<double>(bound)) <
                  5 * std::sqrt(kCount / static_cast<double>(bound)) + 1);
    }
}

TEST_CASE("normal numbers have the moments of the normal distribution") {
    Generator generator(17);
    constexpr int kCount = 100'000;
    double moments[5] = {};
    for (int i = 0; i < kCount; ++i) {
        const double value = generator.normal();
        REQUIRE(std::isfinite(value));
        double power = 1;
        for (double& moment : moments) {
            moment += power / kCount;
            power *= value;
        }
    }
    const double bound = 5 / std::sqrt(static_cast<double>(kCount));
    CHECK(std::fabs(moments[1]) < bound);
    CHECK(std::fabs(moments[2] - 1) < bound * std::sqrt(2.0));
    CHECK(std::fabs(moments[3]) < bound * std::sqrt(15.0));
    CHECK(std::fabs(moments[4] - 3) < bound * std::sqrt(96.0));
}

TEST_CASE("permutations hold every number once") {
    Generator generator(19);
    for (const std::int64_t count : {0, 1, 2, 97, 1000}) {
        std::vector<std::int32_t> order = generator.permutation(count);
        if (count > 50) CHECK(!std::is_sorted(order.begin(), order.end()));
        std::sort(order.begin(), order.end());
        REQUIRE(static_cast<std::int64_t>(order.size()) == count);
        for (std::int64_t i = 0; i < count; ++i) CHECK(order[i] == i);
    }
    // Each of the six orders of three numbers occurs equally often.
    std::vector<int> counts(27);
    constexpr int kTrials = 6000;
    for (int i = 0; i < kTrials; ++i) {
        const auto order = generator.permutation(3);
        ++counts[order[0] * 9 + order[1] * 3 + order[2]];
    }
    int orders = 0;
    for (const int count : counts) {
        if (count == 0) continue;
        ++orders;
        CHECK(std::abs(count - kTrials / 6) < 5 * std::sqrt(kTrials * 5 / 36.0));
    }
    CHECK(orders == 6);
}

TEST_CASE("a normal tensor has the requested deviation") {
    Generator generator(23), same(23);
    const Tensor tensor = normal_tensor(generator, {3, 5}, 0.25f);
    CHECK(tensor.shape() == Shape{3, 5});
    for (const float value : tensor.to_host<float>()) CHECK(value == 0.25f * same.normal());
}
