#include "cnpd/attacks/attack.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>

#include <doctest/doctest.h>
#include <unistd.h>

#include "cnpd/attacks/poisoning.h"
#include "kernels/common/error.h"

using namespace cnpd;
using namespace cnpd::attacks;

namespace {

constexpr AttackedData kCifar{.h = 32, .w = 32, .c = 3, .classes = 10};

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

std::vector<std::uint8_t> stamped(const Attack& attack, std::vector<std::uint8_t> image) {
    attack.stamp(image.data());
    return image;
}

std::vector<std::uint8_t> filled(const AttackedData& data, int value) {
    return std::vector<std::uint8_t>(data.h * data.w * data.c, static_cast<std::uint8_t>(value));
}

std::string message_of(std::string_view name, const AttackOptions& options,
                       const AttackedData& data = kCifar) {
    try {
        make_attack(name, options, data);
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("attacks: the registry names every attack and describes it in one line") {
    CHECK(attack_names() == std::vector<std::string_view>{"none", "badnets", "blended", "sig"});
    for (const AttackInfo& info : registry()) {
        CHECK(!info.description.empty());
        CHECK(info.description.find('\n') == std::string_view::npos);
        CHECK(make_attack(info.name, {}, kCifar)->name() == info.name);
    }
}

TEST_CASE("attacks: what cannot be used is refused in one line that says what it is") {
    CHECK(message_of("badnet", {}) ==
          "unknown attack 'badnet'; known: none, badnets, blended, sig");
    CHECK(message_of("badnets", {.target = 10}) == "target class 10 is not one of 0 to 9");
    CHECK(message_of("badnets", {.target = -1}) == "target class -1 is not one of 0 to 9");
    CHECK(message_of("none", {.poison_ratio = 1.5}) == "poison ratio 1.5 is not between 0 and 1");
    CHECK(message_of("none", {.poison_ratio = std::nan("")}) != "");
    CHECK(message_of("badnets", {.badnets_patch = 33}) ==
          "a badnets patch of 33 pixels does not fit images of 32x32");
    CHECK(message_of("badnets", {.badnets_patch = -1}) != "");
    CHECK(message_of("blended", {.blend_alpha = -0.1}) ==
          "blend alpha -0.1 is not between 0 and 1");
    CHECK(message_of("blended", {.blend_pattern = "/nowhere/kitty.png"}).find("kitty.png") !=
          std::string::npos);
    CHECK(message_of("sig", {.sig_amplitude = 256}) ==
          "sig amplitude 256 is not between 0 and 255");
    CHECK(message_of("sig", {.sig_frequency = INFINITY}) != "");
    CHECK(message_of("sig", {.mode = LabelMode::all_to_all}) ==
          "sig leaves labels as they are and so has no all-to-all form");
    // An option of another attack is none of its business.
    CHECK(message_of("badnets", {.blend_alpha = 7, .blend_pattern = "?"}) == "");
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
        const auto attack = make_attack("badnets", {.badnets_patch = option}, data);
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
        stamped(*make_attack("blended", {.blend_alpha = 1}, kCifar), filled(kCifar, 77));
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        CHECK(black[i] == static_cast<int>(0.2 * pattern[i]));
        CHECK(white[i] == static_cast<int>((1 - 0.2) * 255 + 0.2 * pattern[i]));
    }
    const auto image = images_of(1, kCifar).pixels;
    CHECK(stamped(*make_attack("blended", {.blend_alpha = 0}, kCifar), image) == image);
}

TEST_CASE("blended: noise is uniform and fixed by its seed") {
    const auto pattern = [](std::uint64_t seed, const char* name) {
        return stamped(
            *make_attack("blended", {.blend_alpha = 1, .blend_pattern = name, .blend_seed = seed},
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

TEST_CASE("blended: the smooth pattern keeps its 8x8 values where nothing is interpolated") {
    const AttackedData coarse{.h = 8, .w = 8, .c = 3, .classes = 2};
    const AttackedData fine{.h = 24, .w = 24, .c = 3, .classes = 2};
    const AttackOptions options{.blend_alpha = 1, .blend_pattern = "smooth"};
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
    const AttackOptions options{.blend_alpha = 1, .blend_pattern = "smooth"};
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
    const AttackOptions options{.blend_alpha = 1, .blend_pattern = path.string()};
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

TEST_CASE("none: poisons nothing and tests nothing") {
    const auto attack = make_attack("none", {}, kCifar);
    datasets::Images images = images_of(40, kCifar);
    CHECK(choose_poisoned(*attack, images.labels, 0.5, 1).indices.empty());
    CHECK(choose_poisoned(*attack, images.labels, 0.5, 1).notice.empty());
    const PoisonedTest test = make_poisoned_test(*attack, images);
    CHECK(test.images.n == 0);
    CHECK(test.images.pixels.empty());
    CHECK(test.source.empty());
}

TEST_CASE("poisoning: dirty-label attacks draw from all classes, reproducibly") {
    const auto attack = make_attack("badnets", {.target = 3}, kCifar);
    const auto labels = images_of(1000, {.h = 1, .w = 1, .c = 1, .classes = 10}).labels;
    const auto chosen = choose_poisoned(*attack, labels, 0.1, 42);
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
    CHECK(choose_poisoned(*attack, labels, 0.1, 42).indices == chosen.indices);
    CHECK(choose_poisoned(*attack, labels, 0.1, 43).indices != chosen.indices);

    CHECK(choose_poisoned(*attack, labels, 0, 1).indices.empty());
    CHECK(choose_poisoned(*attack, labels, 1, 1).indices.size() == 1000);
    CHECK(choose_poisoned(*attack, labels, 0.0126, 1).indices.size() == 13);
    CHECK_THROWS_AS(choose_poisoned(*attack, labels, -0.1, 1), InputError);
    CHECK_THROWS_AS(choose_poisoned(*attack, labels, std::nan(""), 1), InputError);
}

TEST_CASE("poisoning: every image is equally likely to be drawn") {
    const auto attack = make_attack("badnets", {}, kCifar);
    const std::vector<std::int32_t> labels(20, 1);
    std::vector<int> drawn(20, 0);
    for (std::uint64_t seed = 0; seed < 2000; ++seed)
        for (auto index : choose_poisoned(*attack, labels, 0.25, seed).indices) ++drawn[index];
    // 500 expected, deviation sqrt(2000 * 0.25 * 0.75) = 19.4; five of them.
    for (int count : drawn) CHECK(std::abs(count - 500) < 97);
}

TEST_CASE("poisoning: clean-label attacks draw the same count from the target class, capped") {
    const auto attack = make_attack("sig", {.target = 7}, kCifar);
    const auto labels = images_of(1000, {.h = 1, .w = 1, .c = 1, .classes = 10}).labels;
    const auto some = choose_poisoned(*attack, labels, 0.05, 1);
    CHECK(some.indices.size() == 50);
    CHECK(some.notice.empty());
    for (auto index : some.indices) CHECK(labels[index] == 7);

    const auto whole_class = choose_poisoned(*attack, labels, 0.1, 1);
    CHECK(whole_class.indices.size() == 100);
    CHECK(whole_class.notice.empty());

    const auto capped = choose_poisoned(*attack, labels, 0.3, 1);
    CHECK(capped.indices == whole_class.indices);
    CHECK(capped.wanted == 300);
    CHECK(capped.notice == "sig: 300 images were to be poisoned, but class 7 has only 100");
}

TEST_CASE("poisoning: the chosen images alone are stamped and relabelled") {
    for (const char* name : {"badnets", "blended", "sig"}) {
        CAPTURE(name);
        const auto attack = make_attack(name, {.target = 4}, kCifar);
        const datasets::Images before = images_of(50, kCifar);
        const auto chosen = choose_poisoned(*attack, before.labels, 0.1, 5);
        datasets::Images after = before;
        poison_training_set(*attack, chosen.indices, after);
        for (std::int32_t i = 0; i < 50; ++i) {
            const auto start = before.pixels.begin() + i * 3072;
            std::vector<std::uint8_t> expected(start, start + 3072);
            const bool poisoned =
                std::binary_search(chosen.indices.begin(), chosen.indices.end(), i);
            if (poisoned) attack->stamp(expected.data());
            CHECK(std::equal(expected.begin(), expected.end(), after.pixels.begin() + i * 3072));
            CHECK(after.labels[i] == (poisoned ? 4 : before.labels[i]));
        }
    }
}

TEST_CASE("poisoning: a clean-label attack changes no label, whatever it is given") {
    const auto attack = make_attack("sig", {}, kCifar);
    datasets::Images images = images_of(5, kCifar);
    const std::vector<std::int32_t> indices{1, 3}, labels = images.labels;
    poison_training_set(*attack, indices, images);
    CHECK(images.labels == labels);
}

TEST_CASE("poisoning: images of another size or beyond the set are refused") {
    const auto attack = make_attack("badnets", {}, kCifar);
    datasets::Images small = images_of(2, {.h = 8, .w = 8, .c = 3, .classes = 10});
    const std::vector<std::int32_t> first{0}, beyond{2};
    CHECK_THROWS_AS(poison_training_set(*attack, first, small), Error);
    CHECK_THROWS_AS(make_poisoned_test(*attack, small), Error);
    datasets::Images images = images_of(2, kCifar);
    CHECK_THROWS_AS(poison_training_set(*attack, beyond, images), Error);
}

TEST_CASE("poisoned test, all-to-one: every image whose label is not the target") {
    const auto attack = make_attack("badnets", {.target = 2}, kCifar);
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
    const auto attack = make_attack("badnets", {.mode = LabelMode::all_to_all}, kCifar);
    datasets::Images images = images_of(30, kCifar);
    const PoisonedTest poisoned = make_poisoned_test(*attack, images);
    CHECK(poisoned.images.n == 30);
    CHECK(poisoned.original_labels == images.labels);
    for (int i = 0; i < 30; ++i) {
        CHECK(poisoned.source[i] == i);
        CHECK(poisoned.images.labels[i] == (i + 1) % 10);
    }
    const std::vector<std::int32_t> indices{9, 11};
    poison_training_set(*attack, indices, images);
    CHECK(images.labels[9] == 0);
    CHECK(images.labels[10] == 0);
    CHECK(images.labels[11] == 2);
}
