#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Shape {
    std::int64_t rows, classes;
};
const Shape kShapes[] = {{0, 10},   {1, 1},  {1, 10},    {7, 3},   {9, 64},
                         {128, 10}, {5, 43}, {300, 200}, {2, 1009}};

// Differences of logits are exact to 2e-6 (half an ulp of 64 in a difference up to 40); exp turns
// this into a relative error.
constexpr double kRelative = 5e-6;

std::vector<std::int32_t> labels_with_masks(const Shape& shape) {
    auto labels = random_labels(shape.rows, static_cast<std::int32_t>(shape.classes));
    for (std::size_t r = 3; r < labels.size(); r += 5) labels[r] = -1;
    return labels;
}

}  // namespace

TEST_CASE("softmax equals the reference, in place and unaligned too") {
    for (const Shape& shape : kShapes)
        for (const std::int64_t offset : {0, 1}) {
            const auto& [rows, classes] = shape;
            CAPTURE(rows);
            CAPTURE(classes);
            CAPTURE(offset);
            const Guarded<float> logits(random_values(rows * classes, 5, 50), offset);
            Guarded<float> expected(rows * classes);
            reference::softmax(logits.data(), rows, classes, expected.data());
            for (const auto& softmax : CNPD_IMPLEMENTATIONS(softmax)) {
                INFO(softmax.backend);
                Guarded<float> p(rows * classes, offset);
                softmax(logits, rows, classes, p);
                check_close(p, expected, kRelative, 1e-12, "softmax");
                CHECK(p.intact());
                auto in_place = logits;
                softmax(in_place, rows, classes, in_place);
                check_close(in_place, p, 0, 1e-30, "softmax in place");
            }
        }
}

TEST_CASE("cross-entropy equals the reference, in place and unaligned too") {
    for (const Shape& shape : kShapes)
        for (const float smoothing : {0.0f, 0.1f}) {
            const auto& [rows, classes] = shape;
            CAPTURE(rows);
            CAPTURE(classes);
            CAPTURE(smoothing);
            const std::int64_t offset = smoothing == 0 ? 0 : 1;
            const Guarded<float> logits(random_values(rows * classes, 5, 50), offset);
            const auto labels = labels_with_masks(shape);
            const std::vector<float> quarter = {0.25f};
            Guarded<float> losses_expected(rows), d_expected(rows * classes);
            reference::softmax_cross_entropy_forward(logits.data(), labels.data(), rows, classes,
                                                     smoothing, losses_expected.data());
            for (const auto& forward : CNPD_IMPLEMENTATIONS(softmax_cross_entropy_forward)) {
                INFO(forward.backend);
                Guarded<float> losses(rows);
                forward(logits, labels, rows, classes, smoothing, losses);
                check_close(losses, losses_expected, 2e-7, 5e-6, "losses");
                CHECK(losses.intact());
            }
            reference::softmax_cross_entropy_backward(logits.data(), labels.data(), rows, classes,
                                                      smoothing, quarter.data(), d_expected.data());
            for (const auto& backward : CNPD_IMPLEMENTATIONS(softmax_cross_entropy_backward)) {
                INFO(backward.backend);
                Guarded<float> d(rows * classes, offset);
                backward(logits, labels, rows, classes, smoothing, quarter, d);
                check_close(d, d_expected, kRelative, 1e-6, "dlogits");
                CHECK(d.intact());
                auto in_place = logits;
                backward(in_place, labels, rows, classes, smoothing, quarter, in_place);
                check_close(in_place, d, 0, 1e-30, "dlogits in place");
            }
        }
}

TEST_CASE("masked rows have no loss and no gradient, even with NaN logits") {
    const std::vector<float> logits = {kNaN, 1, kInfinity, 2};
    const std::vector<std::int32_t> labels = {-1, -7};
    for (const auto& forward : CNPD_WITH_REFERENCE(softmax_cross_entropy_forward)) {
        INFO(forward.backend);
        std::vector<float> losses(2, kNaN);
        forward(logits, labels, 2, 2, 0.1f, losses);
        CHECK(losses[0] == 0);
        CHECK(losses[1] == 0);
    }
    for (const auto& backward : CNPD_WITH_REFERENCE(softmax_cross_entropy_backward)) {
        INFO(backward.backend);
        std::vector<float> d(4, kNaN);
        backward(logits, labels, 2, 2, 0.1f, std::vector<float>{1}, d);
        for (const float value : d) CHECK(value == 0);
    }
}

TEST_CASE("extreme logits: no overflow, certain predictions, NaN is propagated") {
    const std::vector<float> logits = {1000, -1000, 0, 1, -kInfinity, 1, kNaN, 0, 0, 0, 1, kNaN};
    const std::vector<std::int32_t> labels = {0, 0, 0, 0};
    for (const auto& forward : CNPD_WITH_REFERENCE(softmax_cross_entropy_forward)) {
        INFO(forward.backend);
        std::vector<float> losses(4);
        forward(logits, labels, 4, 3, 0, losses);
        CHECK(losses[0] == 0);
        CHECK(losses[1] == doctest::Approx(std::log(2.0)));
        CHECK(std::isnan(losses[2]));
        CHECK(std::isnan(losses[3]));
    }
    for (const auto& softmax : CNPD_WITH_REFERENCE(softmax)) {
        INFO(softmax.backend);
        std::vector<float> p(12);
        softmax(logits, 4, 3, p);
        check_close(std::vector<float>(p.begin(), p.begin() + 6),
                    std::vector<double>{1, 0, 0, 0.5, 0, 0.5}, 1e-6, 1e-30, "probabilities");
        for (int i = 6; i < 12; ++i) CHECK(std::isnan(p[i]));
    }
}

TEST_CASE("the cross-entropy gradient of the reference agrees with central differences") {
    const std::int64_t rows = 4, classes = 5;
    const float smoothing = 0.2f, weight = 0.5f;
    const auto logits = random_values(rows * classes, 2);
    const std::vector<std::int32_t> labels = {3, -1, 0, 4};
    std::vector<double> z(logits.begin(), logits.end());
    const auto loss = [&] {
        double total = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
            if (labels[r] < 0) continue;
            double sum = 0;
            for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(z[r * classes + k]);
            for (std::int64_t k = 0; k < classes; ++k) {
                const double target = (k == labels[r] ? 1.0 - smoothing : 0.0) +
                                      static_cast<double>(smoothing) / classes;
                total -= weight * target * (z[r * classes + k] - std::log(sum));
            }
        }
        return total;
    };
    std::vector<float> d(rows * classes), losses(rows);
    reference::softmax_cross_entropy_forward(logits.data(), labels.data(), rows, classes, smoothing,
                                             losses.data());
    double sum = 0;
    for (const float value : losses) sum += weight * value;
    CHECK(sum == doctest::Approx(loss()).epsilon(1e-6));
    reference::softmax_cross_entropy_backward(logits.data(), labels.data(), rows, classes,
                                              smoothing, &weight, d.data());
    std::vector<double> expected;
    for (double& value : z) {
        const double h = 1e-5, before = value;
        value = before + h;
        const double above = loss();
        value = before - h;
        const double below = loss();
        value = before;
        expected.push_back((above - below) / (2 * h));
    }
    check_close(d, expected, 1e-6, 1e-7, "dlogits");
}

TEST_CASE("argmax takes the first of several, and NaN") {
    const std::vector<float> logits = {
        1,          3,          3,          0,  kNaN,       5,          kNaN,       9,
        -1,         0,          -0.0f,      -2, -0.0f,      0,          -1,         -1,
        -kInfinity, -kInfinity, -kInfinity, -1, -kInfinity, -kInfinity, -kInfinity, -kInfinity};
    const std::vector<std::int32_t> expected = {1, 0, 1, 0, 3, 0};
    for (const auto& argmax : CNPD_WITH_REFERENCE(argmax)) {
        INFO(argmax.backend);
        Guarded<std::int32_t> predictions(6);
        argmax(logits, 6, 4, predictions);
        for (std::int64_t r = 0; r < 6; ++r) CHECK(predictions[r] == expected[r]);
        CHECK(predictions.intact());
    }
}

TEST_CASE("argmax equals the reference, on more rows than a grid has warps too") {
    std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
    shapes.push_back({132 * 32 * 8 + 11, 3});
    for (const auto& [rows, classes] : shapes)
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(rows);
            CAPTURE(classes);
            auto values = random_values(rows * classes);
            for (float& value : values) value = std::round(value);
            const Guarded<float> x(values, offset);
            Guarded<std::int32_t> expected(rows);
            reference::argmax(x.data(), rows, classes, expected.data());
            for (const auto& argmax : CNPD_IMPLEMENTATIONS(argmax)) {
                INFO(argmax.backend);
                Guarded<std::int32_t> actual(rows);
                argmax(x, rows, classes, actual);
                std::int64_t wrong = 0;
                for (std::int64_t r = 0; r < rows; ++r) wrong += actual[r] != expected[r];
                CHECK(wrong == 0);
                CHECK(actual.intact());
            }
        }
}

TEST_CASE("count_equal counts equal elements") {
    for (const std::int64_t count : {0, 1, 7, 1000, 100003})
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(count);
            CAPTURE(offset);
            const Guarded<std::int32_t> a(random_labels(count, 3), offset),
                b(random_labels(count, 3), offset);
            std::int64_t expected = -2;
            reference::count_equal(a.data(), b.data(), count, &expected);
            for (const auto& count_equal : CNPD_IMPLEMENTATIONS(count_equal)) {
                INFO(count_equal.backend);
                Guarded<std::int64_t> actual(1);
                count_equal(a, b, count, actual);
                CHECK(actual[0] == expected);
                count_equal(a, a, count, actual);
                CHECK(actual[0] == count);
                CHECK(actual.intact());
            }
        }
}

TEST_CASE("the weight of a mean counts the labels that are not masked") {
    for (const std::int64_t rows : {0, 1, 5, 255, 256, 1000}) {
        CAPTURE(rows);
        auto labels = random_labels(rows, 5);
        for (auto& label : labels) label -= 2;
        float expected = kNaN;
        reference::mean_weight(labels.data(), rows, &expected);
        for (const auto& mean_weight : CNPD_IMPLEMENTATIONS(mean_weight)) {
            INFO(mean_weight.backend);
            Guarded<float> weight(1);
            mean_weight(labels, rows, weight);
            CHECK(weight[0] == doctest::Approx(expected).epsilon(1e-6));
            mean_weight(std::vector<std::int32_t>(rows, -1), rows, weight);
            CHECK(weight[0] == 1);
            CHECK(weight.intact());
        }
    }
}

TEST_CASE("count_matches adds the matches of several sets to the counts") {
    std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
    shapes.push_back({132 * 32 * 8 + 11, 3});
    for (const auto& [rows, classes] : shapes)
        for (const std::int64_t sets : {1, 3, 40}) {
            if (rows * sets > 200'000) continue;
            CAPTURE(rows);
            CAPTURE(classes);
            CAPTURE(sets);
            const auto logits = random_values(rows * classes);
            auto expected = random_labels(rows * sets, static_cast<std::int32_t>(classes + 1));
            for (auto& label : expected) --label;  // -1: nothing
            std::vector<std::int64_t> right(sets);
            for (std::int64_t set = 0; set < sets; ++set) right[set] = set * 1000;
            const Guarded<std::int64_t> before(right);
            reference::count_matches(logits.data(), rows, classes, expected.data(), sets,
                                     right.data());
            for (const auto& count_matches : CNPD_IMPLEMENTATIONS(count_matches)) {
                INFO(count_matches.backend);
                auto counts = before;
                count_matches(logits, rows, classes, expected, sets, counts);
                for (std::int64_t set = 0; set < sets; ++set) CHECK(counts[set] == right[set]);
                CHECK(counts.intact());
            }
        }
}
