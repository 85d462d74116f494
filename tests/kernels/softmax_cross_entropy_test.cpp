#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include "tests/support/compare.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const float kInfinity = std::numeric_limits<float>::infinity();
const float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Shape {
    std::int64_t rows, classes;
};
const Shape kShapes[] = {{1, 1}, {1, 10}, {7, 3}, {128, 10}, {5, 43}, {300, 200}, {2, 1009}};

std::vector<std::int32_t> labels_with_masks(const Shape& shape) {
    auto labels = random_labels(shape.rows, static_cast<std::int32_t>(shape.classes));
    for (std::size_t r = 3; r < labels.size(); r += 5) labels[r] = -1;
    return labels;
}

}  // namespace

TEST_CASE("softmax and cross-entropy equal the reference") {
    for (const Shape& shape : kShapes)
        for (const float smoothing : {0.0f, 0.1f}) {
            const auto& [rows, classes] = shape;
            CAPTURE(rows);
            CAPTURE(classes);
            CAPTURE(smoothing);
            const auto logits = random_values(rows * classes, 5, 50);
            const auto labels = labels_with_masks(shape);
            Guarded<float> p(rows * classes), p_expected(rows * classes), losses(rows),
                losses_expected(rows), d(rows * classes), d_expected(rows * classes);
            // Differences of logits are exact to 2e-6 (half an ulp of 64 in a difference up to 40),
            // which exp turns into a relative error.
            cpu::softmax(logits.data(), rows, classes, p.data());
            reference::softmax(logits.data(), rows, classes, p_expected.data());
            check_close(p, p_expected, 5e-6, 1e-12, "softmax");
            cpu::softmax_cross_entropy_forward(logits.data(), labels.data(), rows, classes,
                                               smoothing, losses.data());
            reference::softmax_cross_entropy_forward(logits.data(), labels.data(), rows, classes,
                                                     smoothing, losses_expected.data());
            check_close(losses, losses_expected, 2e-7, 5e-6, "losses");
            cpu::softmax_cross_entropy_backward(logits.data(), labels.data(), rows, classes,
                                                smoothing, 0.25f, d.data());
            reference::softmax_cross_entropy_backward(logits.data(), labels.data(), rows, classes,
                                                      smoothing, 0.25f, d_expected.data());
            check_close(d, d_expected, 5e-6, 1e-6, "dlogits");
            CHECK(p.intact());
            CHECK(losses.intact());
            CHECK(d.intact());
            auto in_place = logits;
            cpu::softmax(in_place.data(), rows, classes, in_place.data());
            check_close(in_place, p, 0, 1e-30, "softmax in place");
            in_place = logits;
            cpu::softmax_cross_entropy_backward(in_place.data(), labels.data(), rows, classes,
                                                smoothing, 0.25f, in_place.data());
            check_close(in_place, d, 0, 1e-30, "dlogits in place");
        }
}

TEST_CASE("masked rows have no loss and no gradient, whatever they hold") {
    const float logits[] = {kNaN, 1, kInfinity, 2};
    const std::int32_t labels[] = {-1, -7};
    for (const auto forward :
         {cpu::softmax_cross_entropy_forward, reference::softmax_cross_entropy_forward}) {
        float losses[2] = {kNaN, kNaN};
        forward(logits, labels, 2, 2, 0.1f, losses);
        CHECK(losses[0] == 0);
        CHECK(losses[1] == 0);
    }
    for (const auto backward :
         {cpu::softmax_cross_entropy_backward, reference::softmax_cross_entropy_backward}) {
        float d[4] = {kNaN, kNaN, kNaN, kNaN};
        backward(logits, labels, 2, 2, 0.1f, 1, d);
        for (const float value : d) CHECK(value == 0);
    }
}

TEST_CASE("extreme logits: no overflow, certain predictions, NaN comes through") {
    const float logits[] = {1000, -1000, 0, 1, -kInfinity, 1, kNaN, 0, 0};
    const std::int32_t labels[] = {0, 0, 0};
    for (const auto forward :
         {cpu::softmax_cross_entropy_forward, reference::softmax_cross_entropy_forward}) {
        float losses[3];
        forward(logits, labels, 3, 3, 0, losses);
        CHECK(losses[0] == 0);
        CHECK(losses[1] == doctest::Approx(std::log(2.0)));
        CHECK(std::isnan(losses[2]));
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
                                              smoothing, weight, d.data());
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
    const float logits[] = {1, 3, 3, 0, kNaN, 5, kNaN, 9, -kInfinity, -kInfinity, -kInfinity, -1};
    for (const auto kernel : {cpu::argmax, reference::argmax}) {
        Guarded<std::int32_t> predictions(3);
        kernel(logits, 3, 4, predictions.data());
        CHECK(predictions[0] == 1);
        CHECK(predictions[1] == 0);
        CHECK(predictions[2] == 3);
        CHECK(predictions.intact());
    }
    for (const auto& [rows, classes] : kShapes) {
        auto x = random_values(rows * classes);
        for (float& value : x) value = std::round(value);
        Guarded<std::int32_t> actual(rows), expected(rows);
        cpu::argmax(x.data(), rows, classes, actual.data());
        reference::argmax(x.data(), rows, classes, expected.data());
        for (std::int64_t r = 0; r < rows; ++r) CHECK(actual[r] == expected[r]);
        CHECK(actual.intact());
    }
}

TEST_CASE("count_equal counts") {
    for (const std::int64_t count : {0, 1, 7, 1000}) {
        const auto a = random_labels(count, 3), b = random_labels(count, 3);
        std::int64_t actual = -1, expected = -2;
        cpu::count_equal(a.data(), b.data(), count, &actual);
        reference::count_equal(a.data(), b.data(), count, &expected);
        CHECK(actual == expected);
        cpu::count_equal(a.data(), a.data(), count, &actual);
        CHECK(actual == count);
    }
}
