#include "kernels/gemm/gemm.h"

#include <algorithm>

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

TEST_CASE("gemm equals the reference for every transposition, accumulating or not") {
    const std::int64_t sizes[][3] = {{1, 1, 1},      {1, 10, 64},   {7, 5, 3},
                                     {128, 10, 512}, {17, 64, 31},  {65, 1, 129},
                                     {3, 4, 0},      {16, 67, 515}, {13, 130, 48}};
    for (const auto& [m, n, k] : sizes)
        for (const bool transpose_a : {false, true})
            for (const bool transpose_b : {false, true})
                for (const float beta : {0.f, 1.f}) {
                    const GemmShape shape = {m, n, k, transpose_a, transpose_b, beta};
                    CAPTURE(m);
                    CAPTURE(n);
                    CAPTURE(k);
                    CAPTURE(transpose_a);
                    CAPTURE(transpose_b);
                    CAPTURE(beta);
                    const auto a = random_values(m * k), b = random_values(k * n);
                    const auto before = random_values(m * n);
                    Guarded<float> expected(m * n);
                    if (beta != 0) std::copy(before.begin(), before.end(), expected.data());
                    reference::gemm(shape, a.data(), b.data(), expected.data());
                    for (const auto& run : CNPD_IMPLEMENTATIONS(gemm)) {
                        INFO(run.backend);
                        Guarded<float> actual(m * n);
                        if (beta != 0) std::copy(before.begin(), before.end(), actual.data());
                        run(shape, a, b, actual);
                        // k roundings of a sum that grows as sqrt(k): errors grow with k.
                        check_close(actual, expected, 1e-6, 1e-6 + 1.2e-7 * static_cast<double>(k),
                                    "c");
                        CHECK(actual.intact());
                    }
                }
}
