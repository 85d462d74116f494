#include "kernels/top_classes/top_classes.h"

#include <cmath>
#include <limits>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("top classes: agree with the reference") {
    struct Shape {
        std::int64_t n, classes, k;
    };
    for (const Shape& s : {Shape{1, 1, 1}, Shape{7, 10, 3}, Shape{33, 43, 43}, Shape{5, 200, 7}}) {
        CAPTURE(s.classes);
        CAPTURE(s.k);
        std::vector<float> logits = random_values(s.n * s.classes, 3);
        // Equal logits, and some that are not numbers.
        for (std::size_t i = 0; i + 3 < logits.size(); i += 11) logits[i + 3] = logits[i];
        if (s.n > 6) {
            logits[2] = std::numeric_limits<float>::quiet_NaN();
            logits[5] = -std::numeric_limits<float>::infinity();
        }
        std::vector<std::int32_t> expected(static_cast<std::size_t>(s.k * s.n));
        std::vector<float> expected_weights(expected.size());
        reference::top_classes(logits.data(), s.n, s.classes, s.k, expected.data(),
                               expected_weights.data());
        for (const auto& top : CNPD_IMPLEMENTATIONS(top_classes)) {
            INFO(top.backend);
            std::vector<std::int32_t> labels(expected.size());
            Guarded<float> weights(s.k * s.n);
            top(logits, s.n, s.classes, s.k, labels, weights);
            CHECK(labels == expected);
            std::vector<float> actual(weights.data(), weights.data() + weights.size());
            check_close(actual, expected_weights, 1e-5, 1e-7, "weights");
            CHECK(weights.intact());
        }
    }
}
