// The main() of every test program. With $CNPD_TEST_CUDA, tests run on the GPU; without a GPU the
// program then ends with status 77, "skipped".
#include <fmt/format.h>

#include "tests/support/device.h"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

int main(int argc, char** argv) {
#ifdef CNPD_REAL_CUDA
    constexpr int kSkipped = 77;
    if (cnpd::tests::only_on_device() && cnpd::kernels::gpu::device_count() == 0) {
        fmt::print("skipped: {}\n", cnpd::kernels::gpu::why_no_device());
        return kSkipped;
    }
#endif
    return doctest::Context(argc, argv).run();
}
