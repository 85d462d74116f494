#include "kernels/embedding/embedding.h"

#include <omp.h>

#include "tests/support/compare.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("embedding equals the reference, and rows that do not occur have zero gradient") {
    const std::int64_t shapes[][3] = {
        {1, 1, 1}, {7, 10, 5}, {128, 10, 64}, {500, 3, 129}, {3, 200, 17}};
    for (const auto& [count, rows, columns] : shapes) {
        CAPTURE(count);
        CAPTURE(rows);
        CAPTURE(columns);
        const auto table = random_values(rows * columns), dy = random_values(count * columns);
        auto indices = random_labels(count, static_cast<std::int32_t>(rows));
        for (auto& index : indices)
            if (rows > 2 && index == 1) index = 2;
        Guarded<float> y(count * columns), y_expected(count * columns), d(rows * columns),
            d_expected(rows * columns);
        cpu::embedding_forward(table.data(), indices.data(), count, columns, y.data());
        reference::embedding_forward(table.data(), indices.data(), count, columns,
                                     y_expected.data());
        check_close(y, y_expected, 0, 1e-30, "y");
        cpu::embedding_backward(dy.data(), indices.data(), count, rows, columns, d.data());
        reference::embedding_backward(dy.data(), indices.data(), count, rows, columns,
                                      d_expected.data());
        // Up to count / rows roundings of sums that stay below 50.
        check_close(d, d_expected, 2e-7, 3e-6 * (1 + static_cast<double>(count / rows)), "dtable");
        if (rows > 2)
            for (std::int64_t c = 0; c < columns; ++c) CHECK(d[columns + c] == 0);
        CHECK(y.intact());
        CHECK(d.intact());
    }
}

TEST_CASE("the embedding's gradient does not depend on the number of threads") {
    const std::int64_t count = 20000, rows = 64, columns = 9;
    const auto dy = random_values(count * columns);
    const auto indices = random_labels(count, rows);
    const int threads = omp_get_max_threads();
    std::vector<float> alone(rows * columns), together(rows * columns);
    omp_set_num_threads(1);
    cpu::embedding_backward(dy.data(), indices.data(), count, rows, columns, alone.data());
    for (const int many : {2, 7}) {
        omp_set_num_threads(many);
        cpu::embedding_backward(dy.data(), indices.data(), count, rows, columns, together.data());
        CHECK(together == alone);
    }
    omp_set_num_threads(threads);
}
