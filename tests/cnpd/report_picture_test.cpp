// Charts, images and colour maps.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "cnpd/report/chart.h"
#include "cnpd/report/colour_map.h"
#include "cnpd/report/picture.h"
#include "tests/cnpd/report_page.h"

namespace cnpd::report {

TEST_CASE("report: charts of degenerate series are well-formed") {
    const auto chart = [](std::vector<double> x, std::vector<double> y) {
        return line_chart({.title = "Loss",
                           .x_name = "epoch",
                           .x_range = {},
                           .y_range = {},
                           .lines = {{.label = "loss", .colour = "plain", .x = x, .y = y}}})
            .html;
    };
    CHECK(chart({}, {}).empty());
    CHECK(chart({1, 2}, {nan, infinity}).empty());
    for (const auto& values : std::vector<std::vector<double>>{
             {3}, {0, 0}, {5e-324, 5e-324}, {-1e99, 1e99}, {1, 1 + 1e-15}, {1, nan, 3}, {-7, -7}}) {
        std::vector<double> epochs;
        for (std::size_t i = 0; i < values.size(); ++i) epochs.push_back(static_cast<double>(i));
        const std::string svg = chart(epochs, values);
        CHECK(malformed("<!DOCTYPE html>\n" + svg) == "");
        check_numbers(svg);
        CHECK(svg.size() < 12'000);
    }
    CHECK(occurrences(chart({0, 1, 2}, {1, nan, 3}), "<circle class=\"dot") == 2);
    std::vector<double> many(100'000);
    for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i);
    CHECK(chart(many, many).size() < 60'000);
}

TEST_CASE("report: ticks are round and inside their range") {
    CHECK(ticks({0, 1}, 4) == std::vector<double>{0, 0.2, 0.4, 6 * 0.1, 0.8, 1});
    CHECK(ticks({1, 20}, 5) == std::vector<double>{5, 10, 15, 20});
    CHECK(ticks({-3, 3}, 3) == std::vector<double>{-2, 0, 2});
    CHECK(ticks({1, 1}, 5).empty());
    CHECK(ticks({0, infinity}, 5).empty());
}

TEST_CASE("report: the difference of two images is drawn around grey") {
    Example example;
    example.clean = {.height = 1, .width = 3, .channels = 1, .pixels = {10, 200, 50}};
    example.poisoned = {.height = 1, .width = 3, .channels = 1, .pixels = {10, 185, 60}};
    CHECK(difference_gain({example}) == 8);  // 15 * 8 <= 127 < 15 * 16
    CHECK(difference(example.clean, example.poisoned, 8).pixels ==
          std::vector<std::uint8_t>{128, 8, 208});
    example.poisoned.pixels = {255, 200, 50};
    CHECK(difference_gain({example}) == 1);
    CHECK(difference_gain({}) == 32);
}

TEST_CASE("report: colour maps grow lighter with every step") {
    for (auto colour : {activation_colour, change_colour}) {
        double last = -1;
        for (int i = 0; i <= 100; ++i) {
            const Rgb c = colour(i / 100.0);
            const double luma = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
            CHECK(luma > last - 0.5);  // half a level for rounding
            last = luma;
        }
        CHECK(colour(nan) == Rgb{128, 128, 128});
        CHECK(colour(-5) == colour(0));
        CHECK(colour(7) == colour(1));
    }
}

TEST_CASE("report: a channel of a feature map is coloured on the given scale") {
    const FeatureMap map{.height = 1, .width = 2, .channels = 2, .values = {0, 9, 4, 9}};
    const Image image = channel_image(map, 0, {.low = 0, .high = 4});
    const Rgb low = activation_colour(0), high = activation_colour(1);
    CHECK(image.pixels ==
          std::vector<std::uint8_t>{low[0], low[1], low[2], high[0], high[1], high[2]});
    CHECK(std::isnan(ColourScale{}.position(nan)));
    CHECK(ColourScale{.low = 2, .high = 2}.position(2) == 0.5);
}

}  // namespace cnpd::report
