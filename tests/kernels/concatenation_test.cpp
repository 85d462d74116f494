#include "kernels/concatenation/concatenation.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("concatenation joins rows, and its gradient splits them") {
    const std::int64_t shapes[][3] = {{0, 2, 3},
                                      {1, 1, 1},
                                      {5, 3, 7},
                                      {129, 64, 10},
                                      {33, 64, 12},
                                      {2, 0, 3},
                                      {2, 4, 0},
                                      {977, 40, 1},
                                      {7, 300, 5},
                                      {3, 512, 516},
                                      {132 * 32 * 128 + 5, 1, 1}};
    for (const auto& [rows, a_columns, b_columns] : shapes)
        for (const std::int64_t offset : {0, 1}) {
            CAPTURE(rows);
            CAPTURE(a_columns);
            CAPTURE(offset);
            const std::int64_t columns = a_columns + b_columns;
            const Guarded<float> a(random_values(rows * a_columns), offset),
                b(random_values(rows * b_columns), offset);
            Guarded<float> expected(rows * columns, offset);
            reference::concatenate_forward(a.data(), a_columns, b.data(), b_columns, rows,
                                           expected.data());
            for (const auto& forward : CNPD_IMPLEMENTATIONS(concatenate_forward)) {
                INFO(forward.backend);
                Guarded<float> y(rows * columns, offset);
                forward(a, a_columns, b, b_columns, rows, y);
                check_close(y, expected, 0, 1e-30, "y");
                CHECK(y.intact());
            }
            for (const auto& backward : CNPD_WITH_REFERENCE(concatenate_backward)) {
                INFO(backward.backend);
                Guarded<float> da(rows * a_columns, offset), db(rows * b_columns, offset);
                backward(expected, a_columns, b_columns, rows, da, nullptr);
                backward(expected, a_columns, b_columns, rows, nullptr, db);
                backward(expected, a_columns, b_columns, rows, nullptr, nullptr);
                check_close(da, a, 0, 1e-30, "da");
                check_close(db, b, 0, 1e-30, "db");
                Guarded<float> da2(rows * a_columns, offset), db2(rows * b_columns, offset);
                backward(expected, a_columns, b_columns, rows, da2, db2);
                check_close(da2, a, 0, 1e-30, "da with db");
                check_close(db2, b, 0, 1e-30, "db with da");
                CHECK((da.intact() && db.intact() && da2.intact() && db2.intact()));
            }
        }
}
