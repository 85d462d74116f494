#include "kernels/embedding/embedding.h"

#include <omp.h>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("embedding equals the reference, and rows that do not occur have zero gradient") {
    const std::int64_t shapes[][3] = {{0, 3, 5},    {1, 1, 1},     {7, 10, 5},    {128, 10, 64},
                                      {3, 200, 17}, {500, 3, 129}, {33, 7, 1028}, {5, 34000, 1}};
    for (const auto& [count, rows, columns] : shapes)
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(count);
            CAPTURE(rows);
            CAPTURE(columns);
            CAPTURE(offset);
            const Guarded<float> table(random_values(rows * columns), offset),
                dy(random_values(count * columns), offset);
            auto indices = random_labels(count, static_cast<std::int32_t>(rows));
            for (auto& index : indices)
                if (rows > 2 && index == 1) index = 2;
            Guarded<float> y_expected(count * columns), d_expected(rows * columns);
            reference::embedding_forward(table.data(), indices.data(), count, columns,
                                         y_expected.data());
            for (const auto& forward : CNPD_IMPLEMENTATIONS(embedding_forward)) {
                INFO(forward.backend);
                Guarded<float> y(count * columns, offset);
                forward(table, indices, count, columns, y);
                check_close(y, y_expected, 0, 1e-30, "y");
                CHECK(y.intact());
            }
            reference::embedding_backward(dy.data(), indices.data(), count, rows, columns,
                                          d_expected.data());
            for (const auto& backward : CNPD_IMPLEMENTATIONS(embedding_backward)) {
                INFO(backward.backend);
                Guarded<float> d(rows * columns, offset);
                backward(dy, indices, count, rows, columns, d);
                // Up to count / rows roundings of sums that stay below 50.
                check_close(d, d_expected, 2e-7, 3e-6 * (1 + static_cast<double>(count / rows)),
                            "dtable");
                if (rows > 2)
                    for (std::int64_t c = 0; c < columns; ++c) CHECK(d[columns + c] == 0);
                CHECK(d.intact());
            }
        }
}

// Numbers of very different size: in any other order the sum would be rounded differently.
TEST_CASE("the embedding's gradient is summed in the order of the indices") {
    const std::int64_t count = 1000, rows = 3, columns = 37;
    auto dy = random_values(count * columns);
    for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = std::ldexp(dy[i], static_cast<int>(i % 20));
    const auto indices = random_labels(count, rows);
    std::vector<float> expected(rows * columns, 0.0f);
    for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t c = 0; c < columns; ++c)
            expected[indices[i] * columns + c] += dy[i * columns + c];
    for (const auto& backward : CNPD_IMPLEMENTATIONS(embedding_backward)) {
        INFO(backward.backend);
        std::vector<float> actual(rows * columns);
        backward(dy, indices, count, rows, columns, actual);
        CHECK(actual == expected);
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
