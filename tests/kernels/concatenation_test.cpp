#include "kernels/concatenation/concatenation.h"

#include "tests/support/compare.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("concatenation puts rows side by side, and its gradient takes them apart") {
    const std::int64_t shapes[][3] = {{1, 1, 1}, {5, 3, 7}, {129, 64, 10}, {2, 0, 3}, {977, 40, 1}};
    for (const auto& [rows, a_columns, b_columns] : shapes) {
        CAPTURE(rows);
        CAPTURE(a_columns);
        const std::int64_t columns = a_columns + b_columns;
        const auto a = random_values(rows * a_columns), b = random_values(rows * b_columns);
        Guarded<float> y(rows * columns), expected(rows * columns);
        cpu::concatenate_forward(a.data(), a_columns, b.data(), b_columns, rows, y.data());
        reference::concatenate_forward(a.data(), a_columns, b.data(), b_columns, rows,
                                       expected.data());
        check_close(y, expected, 0, 1e-30, "y");
        CHECK(y.intact());
        for (const auto backward : {cpu::concatenate_backward, reference::concatenate_backward}) {
            Guarded<float> da(rows * a_columns), db(rows * b_columns);
            backward(y.data(), a_columns, b_columns, rows, da.data(), nullptr);
            backward(y.data(), a_columns, b_columns, rows, nullptr, db.data());
            check_close(da, a, 0, 1e-30, "da");
            check_close(db, b, 0, 1e-30, "db");
            Guarded<float> da2(rows * a_columns), db2(rows * b_columns);
            backward(y.data(), a_columns, b_columns, rows, da2.data(), db2.data());
            check_close(da2, a, 0, 1e-30, "da with db");
            check_close(db2, b, 0, 1e-30, "db with da");
            CHECK(da.intact());
            CHECK(db.intact());
        }
    }
}
