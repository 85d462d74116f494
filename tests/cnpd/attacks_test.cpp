#include "cnpd/attacks/attack.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include <unistd.h>

#include "cnpd/attacks/poisoning.h"
#include "kernels/common/error.h"
#include "tests/support/attacks.h"
#include "tests/support/files.h"

using namespace cnpd;
using namespace cnpd::attacks;
using tests::make_attack;
using tests::stamped;

namespace {

const AttackedData kCifar{.h = 32, .w = 32, .c = 3, .classes = 10};

// Image i has label i mod classes and pixels that depend on i.
datasets::Images images_of(std::int64_t n, const AttackedData& data) {
    datasets::Images images;
    images.n = n;
    images.h = data.h;
    images.w = data.w;
    images.c = data.c;
    for (std::int64_t i = 0; i < n * data.h * data.w * data.c; ++i)
        images.pixels.push_back(static_cast<std::uint8_t>(i * 7919 % 251));
    for (std::int64_t i = 0; i < n; ++i)
        images.labels.push_back(static_cast<std::int32_t>(i % data.classes));
    return images;
}

std::vector<std::uint8_t> filled(const AttackedData& data, int value) {
    return std::vector<std::uint8_t>(data.h * data.w * data.c, static_cast<std::uint8_t>(value));
}

std::string message_of(std::string_view name, const tests::Options& options,
                       const AttackedData& data = kCifar) {
    return tests::message_of([&] { make_attack(name, options, data); });
}

Plan plan_of(std::string_view name, const tests::Options& options,
             const std::vector<std::int32_t>& labels, std::uint64_t seed) {
    return make_attack(name, options, kCifar)->plan(labels, seed);
}

}  // namespace

TEST_CASE("attacks: the registry names every attack and describes it in one line") {
    CHECK(registry().names() == std::vector<std::string>{"none", "badnets", "blended", "sig"});
    for (const auto& entry : registry().entries()) {
        CHECK(!entry.description.empty());
        CHECK(entry.description.find('\n') == std::string::npos);
        CHECK(make_attack(entry.name, {}, kCifar)->name() == entry.name);
    }
}

TEST_CASE("attacks: unusable settings are refused in one line that names the option") {
    CHECK(message_of("badnet", {}).find("did you mean 'badnets'?") != std::string::npos);
    CHECK(message_of("badnets", {{"target", "10"}}) == "--target: class 10: classes are 0 to 9");
    CHECK(message_of("badnets", {{"target", "-1"}}).starts_with("--target: unknown class \"-1\""));
    CHECK(message_of("badnets", {{"poison-ratio", "1.5"}}) ==
          "--poison-ratio 1.5 is out of range: 0 to 1");
    CHECK(message_of("badnets", {{"poison-ratio", "nan"}}) != "");
    CHECK(message_of("badnets", {{"patch-size", "33"}}) ==
          "--patch-size 33: images have 32 x 32 pixels");
    CHECK(message_of("badnets", {{"patch-size", "-1"}}) != "");
    CHECK(message_of("blended", {{"blend-alpha", "-0.1"}}) ==
          "--blend-alpha -0.1 is out of range: 0 to 1");
    CHECK(message_of("blended", {{"blend-pattern", "/nowhere/kitty.png"}}).find("kitty.png") !=
          std::string::npos);
    CHECK(message_of("sig", {{"sig-amplitude", "256"}}) ==
          "--sig-amplitude 256 is out of range: 0 to 255");
    CHECK(message_of("sig", {{"sig-frequency", "inf"}}) != "");
    CHECK(message_of("sig", {{"attack-mode", "all-to-all"}}) ==
          "--attack sig does not change labels, so --attack-mode all-to-all is impossible");
    // An attack has no options of other attacks.
    CHECK(message_of("badnets", {{"blend-alpha", "0.5"}}) == "no option --blend-alpha");
}

TEST_CASE("attacks: a target may be given by the name of its class") {
    AttackedData named = kCifar;
    for (int i = 0; i < 10; ++i) named.class_names.push_back("class" + std::to_string(9 - i));
    CHECK(make_attack("badnets", {{"target", "class7"}}, named)->target() == 2);
    CHECK(make_attack("badnets", {{"target", "7"}}, named)->target() == 7);
    CHECK(message_of("badnets", {{"target", "clas7"}}, named).find("did you mean \"class7\"?") !=
          std::string::npos);
}

TEST_CASE("badnets: a white square in the lower right corner, in proportion to the image") {
    struct Expected {
        std::int64_t side, option, patch;
    };
    for (const auto& [side, option, patch] : {Expected{32, 0, 3},
                                              {64, 0, 6},
                                              {28, 0, 3},
                                              {8, 0, 1},
                                              {1, 0, 1},
                                              {32, 5, 5},
                                              {4, 4, 4}}) {
        CAPTURE(side);
        const AttackedData data{.h = side, .w = side, .c = 3, .classes = 2};
        const auto attack = make_attack("badnets", {{"patch-size", std::to_string(option)}}, data);
        const auto image = stamped(*attack, filled(data, 9));
        for (std::int64_t row = 0; row < side; ++row)
            for (std::int64_t column = 0; column < side; ++column)
                for (std::int64_t c = 0; c < 3; ++c)
                    CHECK(image[(row * side + column) * 3 + c] ==
                          (row >= side - patch && column >= side - patch ? 255 : 9));
    }
}

TEST_CASE("blended: the mixture is truncated, not rounded") {
    const auto attack = make_attack("blended", {}, kCifar);
    const auto black = stamped(*attack, filled(kCifar, 0));
    const auto white = stamped(*attack, filled(kCifar, 255));
    // With alpha 1 the stamped image is the pattern.
    const auto pattern =
        stamped(*make_attack("blended", {{"blend-alpha", "1"}}, kCifar), filled(kCifar, 77));
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        CHECK(black[i] == static_cast<int>(0.2 * pattern[i]));
        CHECK(white[i] == static_cast<int>((1 - 0.2) * 255 + 0.2 * pattern[i]));
    }
    const auto image = images_of(1, kCifar).pixels;
    CHECK(stamped(*make_attack("blended", {{"blend-alpha", "0"}}, kCifar), image) == image);
}

TEST_CASE("blended: noise is uniform and fixed by its seed") {
    const auto pattern = [](std::uint64_t seed, const char* name) {
        return stamped(*make_attack("blended",
                                    {{"blend-alpha", "1"},
                                     {"blend-pattern", name},
                                     {"blend-seed", std::to_string(seed)}},
                                    kCifar),
                       filled(kCifar, 0));
    };
    for (const char* name : {"noise", "smooth"}) {
        CHECK(pattern(0, name) == pattern(0, name));
        CHECK(pattern(0, name) != pattern(1, name));
    }
    const auto noise = pattern(0, "noise");
    // 3072 values of mean 127.5 and deviation 73.9: the mean is within 4 deviations of 1.33.
    const double mean = std::accumulate(noise.begin(), noise.end(), 0.0) / 3072;
    CHECK(std::fabs(mean - 127.5) < 5.4);
    CHECK(std::set<int>(noise.begin(), noise.end()).size() == 256);
    // Neighbours differ by 85 on average in noise and by far less in the smooth pattern.
    const auto roughness = [](const std::vector<std::uint8_t>& image) {
        double sum = 0;
        for (std::size_t i = 3; i < image.size(); ++i) sum += std::abs(image[i] - image[i - 3]);
        return sum / static_cast<double>(image.size() - 3);
    };
    CHECK(roughness(noise) > 75);
    CHECK(roughness(pattern(0, "smooth")) < 45);
}

TEST_CASE("blended: the smooth pattern contains its 8x8 values at sample positions") {
    const AttackedData coarse{.h = 8, .w = 8, .c = 3, .classes = 2};
    const AttackedData fine{.h = 24, .w = 24, .c = 3, .classes = 2};
    const tests::Options options{{"blend-alpha", "1"}, {"blend-pattern", "smooth"}};
    const auto small = stamped(*make_attack("blended", options, coarse), filled(coarse, 0));
    const auto large = stamped(*make_attack("blended", options, fine), filled(fine, 0));
    // Enlarged three times, the middle of every 3x3 is a sample of the original.
    for (std::int64_t row = 0; row < 8; ++row)
        for (std::int64_t column = 0; column < 8; ++column)
            for (std::int64_t c = 0; c < 3; ++c)
                CHECK(large[((3 * row + 1) * 24 + 3 * column + 1) * 3 + c] ==
                      small[(row * 8 + column) * 3 + c]);
}

TEST_CASE("blended: the smooth pattern is interpolated with the cubic of a = -0.75") {
    const AttackedData coarse{.h = 8, .w = 8, .c = 1, .classes = 2};
    const AttackedData fine{.h = 16, .w = 16, .c = 1, .classes = 2};
    const tests::Options options{{"blend-alpha", "1"}, {"blend-pattern", "smooth"}};
    const auto small = stamped(*make_attack("blended", options, coarse), filled(coarse, 0));
    const auto large = stamped(*make_attack("blended", options, fine), filled(fine, 0));
    // Pixel 2k + 1 lies at k + 1/4: the taps at distances 1.25, 0.25, 0.75 and 1.75.
    const double taps[] = {-0.10546875, 0.87890625, 0.26171875, -0.03515625};
    for (std::int64_t row = 1; row < 6; ++row)
        for (std::int64_t column = 1; column < 6; ++column) {
            double expected = 0;
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j)
                    expected += taps[i] * taps[j] * small[(row + i - 1) * 8 + column + j - 1];
            expected = std::min(255.0, std::max(0.0, expected));
            CHECK(std::fabs(large[(2 * row + 1) * 16 + 2 * column + 1] - expected) <= 0.5 + 1e-9);
        }
}

TEST_CASE("blended: a pattern is read from an image file, also for grey images") {
    const auto path = std::filesystem::temp_directory_path() /
                      ("cnpd_attacks_test_" + std::to_string(getpid()) + ".ppm");
    std::ofstream(path, std::ios::binary)
        << "P6\n2 2\n255\n"
        << std::string("\x0a\x14\x1e\x0a\x14\x1e", 6) << std::string("\x0a\x14\x1e\x0a\x14\x1e", 6);
    const tests::Options options{{"blend-alpha", "1"}, {"blend-pattern", path.string()}};
    const auto colour = stamped(*make_attack("blended", options, kCifar), filled(kCifar, 0));
    for (std::size_t i = 0; i < colour.size(); ++i)
        CHECK(colour[i] == static_cast<int>(10 * (i % 3 + 1)));
    const AttackedData grey{.h = 28, .w = 28, .c = 1, .classes = 10};
    for (int value : stamped(*make_attack("blended", options, grey), filled(grey, 0)))
        CHECK(value == 20);
    std::filesystem::remove(path);
}

TEST_CASE("sig: a sinusoid over the columns, clipped and truncated, on true labels") {
    const auto attack = make_attack("sig", {}, kCifar);
    CHECK(attack->clean_label());
    for (int level : {0, 100, 250}) {
        const auto image = stamped(*attack, filled(kCifar, level));
        for (std::int64_t row = 0; row < 32; ++row)
            for (std::int64_t column = 0; column < 32; ++column) {
                const double value =
                    level + 40 * std::sin(2 * M_PI * static_cast<double>(column) * 6 / 32);
                const int expected = static_cast<int>(std::min(255.0, std::max(0.0, value)));
                for (std::int64_t c = 0; c < 3; ++c)
                    CHECK(image[(row * 32 + column) * 3 + c] == expected);
            }
    }
    // sin(2 pi 6 / 32) = 0.92388: 100 + 36.96 is truncated.
    CHECK(stamped(*attack, filled(kCifar, 100))[3] == 136);
}

TEST_CASE("none: no poisoned training or test images") {
    const auto attack = make_attack("none", {}, kCifar);
    datasets::Images images = images_of(40, kCifar);
    CHECK(attack->plan(images.labels, 1).indices.empty());
    CHECK(attack->plan(images.labels, 1).notice.empty());
    const PoisonedTest test = make_poisoned_test(*attack, images);
    CHECK(test.images.n == 0);
    CHECK(test.images.pixels.empty());
    CHECK(test.source.empty());
}

TEST_CASE("poisoning: dirty-label attacks draw from all classes, reproducibly") {
    const auto attack = make_attack("badnets", {{"target", "3"}}, kCifar);
    const auto labels = images_of(1000, {.h = 1, .w = 1, .c = 1, .classes = 10}).labels;
    const auto chosen = attack->plan(labels, 42);
    CHECK(chosen.indices.size() == 100);
    CHECK(chosen.wanted == 100);
    CHECK(chosen.notice.empty());
    CHECK(std::is_sorted(chosen.indices.begin(), chosen.indices.end()));
    CHECK(std::adjacent_find(chosen.indices.begin(), chosen.indices.end()) == chosen.indices.end());
    CHECK(chosen.indices.front() >= 0);
    CHECK(chosen.indices.back() < 1000);
    std::set<int> classes;
    for (auto index : chosen.indices) classes.insert(labels[index]);
    CHECK(classes.size() == 10);  // the target's own class among them
    CHECK(attack->plan(labels, 42).indices == chosen.indices);
    CHECK(attack->plan(labels, 43).indices != chosen.indices);

    const auto count = [&](const char* ratio) {
        return plan_of("badnets", {{"poison-ratio", ratio}}, labels, 1).indices.size();
    };
    CHECK(count("0") == 0);
    CHECK(count("1") == 1000);
    CHECK(count("0.0126") == 13);
    CHECK(!make_attack("badnets", {{"poison-ratio", "0"}}, kCifar)->plants_backdoor());
}

TEST_CASE("poisoning: a ratio that poisons nothing is refused with the smallest valid one") {
    const std::vector<std::int32_t> labels(200, 1);
    const auto said = [&](const char* ratio) {
        return tests::message_of([&] { plan_of("badnets", {{"poison-ratio", ratio}}, labels, 1); });
    };
    CHECK(said("0.001") ==
          "--poison-ratio 0.001 of 200 images poisons none; the smallest is 0.0025");
    CHECK(plan_of("badnets", {{"poison-ratio", "0.0025"}}, labels, 1).indices.size() == 1);
    CHECK(tests::message_of([&] { plan_of("sig", {}, labels, 1); }) ==
          "--attack sig poisons images of class 0, but the training set has none");
}

TEST_CASE("poisoning: every image is equally likely to be drawn") {
    const auto attack = make_attack("badnets", {{"poison-ratio", "0.25"}}, kCifar);
    const std::vector<std::int32_t> labels(20, 1);
    std::vector<int> drawn(20, 0);
    for (std::uint64_t seed = 0; seed < 2000; ++seed)
        for (auto index : attack->plan(labels, seed).indices) ++drawn[index];
    // 500 expected, deviation sqrt(2000 * 0.25 * 0.75) = 19.4; five of them.
    for (int count : drawn) CHECK(std::abs(count - 500) < 97);
}

TEST_CASE(
    "poisoning: clean-label attacks draw the same count from the target class, at most all of it") {
    const auto labels = images_of(1000, {.h = 1, .w = 1, .c = 1, .classes = 10}).labels;
    const auto some = plan_of("sig", {{"target", "7"}, {"poison-ratio", "0.05"}}, labels, 1);
    CHECK(some.indices.size() == 50);
    CHECK(some.notice.empty());
    for (auto index : some.indices) CHECK(labels[index] == 7);

    const auto whole_class = plan_of("sig", {{"target", "7"}, {"poison-ratio", "0.1"}}, labels, 1);
    CHECK(whole_class.indices.size() == 100);
    CHECK(whole_class.notice.empty());

    const auto capped = plan_of("sig", {{"target", "7"}, {"poison-ratio", "0.3"}}, labels, 1);
    CHECK(capped.indices == whole_class.indices);
    CHECK(capped.wanted == 300);
    CHECK(capped.notice ==
          "--attack sig: 100 of 1000 images are poisoned (30 % requested, class 7 has 100)");
}

TEST_CASE("poisoning: only the chosen images are stamped and relabelled") {
    for (const std::string name : {"badnets", "blended", "sig"}) {
        CAPTURE(name);
        const auto attack = make_attack(name, {{"target", "4"}}, kCifar);
        const datasets::Images before = images_of(50, kCifar);
        const auto chosen = attack->plan(before.labels, 5);
        datasets::Images after = before;
        poison_training_set(*attack, chosen, after);
        for (std::int32_t i = 0; i < 50; ++i) {
            const auto start = before.pixels.begin() + i * 3072;
            std::vector<std::uint8_t> expected(start, start + 3072);
            const bool poisoned =
                std::binary_search(chosen.indices.begin(), chosen.indices.end(), i);
            if (poisoned) expected = stamped(*attack, expected);
            CHECK(std::equal(expected.begin(), expected.end(), after.pixels.begin() + i * 3072));
            CHECK(after.labels[i] == (poisoned ? 4 : before.labels[i]));
        }
    }
}

TEST_CASE("poisoning: a clean-label attack changes no label") {
    const auto attack = make_attack("sig", {}, kCifar);
    const datasets::Images images = images_of(50, kCifar);
    for (const std::int32_t label : attack->plan(images.labels, 3).labels) CHECK(label == 0);
}

TEST_CASE("poisoning: images of another size or beyond the set are refused") {
    const auto attack = make_attack("badnets", {}, kCifar);
    datasets::Images small = images_of(2, {.h = 8, .w = 8, .c = 3, .classes = 10});
    const Plan first{.indices = {0}, .labels = {0}}, beyond{.indices = {2}, .labels = {0}};
    CHECK_THROWS_AS(poison_training_set(*attack, first, small), Error);
    CHECK_THROWS_AS(make_poisoned_test(*attack, small), Error);
    datasets::Images images = images_of(2, kCifar);
    CHECK_THROWS_AS(poison_training_set(*attack, beyond, images), Error);
}

TEST_CASE("poisoned test, all-to-one: every image whose label is not the target") {
    const auto attack = make_attack("badnets", {{"target", "2"}}, kCifar);
    const datasets::Images test = images_of(30, kCifar);
    const PoisonedTest poisoned = make_poisoned_test(*attack, test);
    CHECK(poisoned.images.n == 27);
    CHECK(poisoned.images.pixels.size() == 27 * 3072);
    CHECK(poisoned.images.labels == std::vector<std::int32_t>(27, 2));
    for (std::int64_t i = 0; i < 27; ++i) {
        const std::int32_t source = poisoned.source[i];
        CHECK(poisoned.original_labels[i] == test.labels[source]);
        CHECK(test.labels[source] != 2);
        const auto start = test.pixels.begin() + source * 3072;
        const auto expected = stamped(*attack, {start, start + 3072});
        CHECK(std::equal(expected.begin(), expected.end(),
                         poisoned.images.pixels.begin() + i * 3072));
    }
    CHECK(std::set<int>(poisoned.source.begin(), poisoned.source.end()).size() == 27);
}

TEST_CASE("poisoned test, all-to-all: every image, labelled with the next class") {
    const auto attack =
        make_attack("badnets", {{"attack-mode", "all-to-all"}, {"poison-ratio", "1"}}, kCifar);
    datasets::Images images = images_of(30, kCifar);
    const PoisonedTest poisoned = make_poisoned_test(*attack, images);
    CHECK(poisoned.images.n == 30);
    CHECK(poisoned.original_labels == images.labels);
    for (int i = 0; i < 30; ++i) {
        CHECK(poisoned.source[i] == i);
        CHECK(poisoned.images.labels[i] == (i + 1) % 10);
    }
    const Plan plan = attack->plan(images.labels, 0);
    poison_training_set(*attack, plan, images);
    CHECK(images.labels[9] == 0);
    CHECK(images.labels[10] == 1);
    CHECK(images.labels[11] == 2);
}
