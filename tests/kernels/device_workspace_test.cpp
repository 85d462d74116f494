#ifdef CNPD_HAS_CUDA
#include "kernels/common/device_workspace.h"

#include "kernels/common/gpu.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

bool no_device() {
    return gpu::device_count() == 0;
}

}  // namespace

TEST_CASE("scratch memory is not shared while it is held" * doctest::skip(no_device())) {
    constexpr std::size_t kLarge = std::size_t{1} << 20;
    for (int round = 0; round < 2; ++round) {  // newly allocated, then reused
        const DeviceWorkspace a(1000), b(1000), large(kLarge);
        CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 256 == 0);
        CHECK(a.data() != b.data());
        CHECK(a.data() != large.data());
        CHECK(b.data() != large.data());
        gpu::set_zero(large.data(), kLarge);  // all of it is accessible
        gpu::synchronize();
    }
}

TEST_CASE("a graph keeps its scratch memory" * doctest::skip(no_device())) {
    const std::int64_t count = 300007;
    auto x = random_values(count);
    double expected = 0, actual = 0;
    const auto bytes = x.size() * sizeof(float);
    auto* values = static_cast<float*>(gpu::allocate(bytes));
    auto* result = static_cast<double*>(gpu::allocate(2 * sizeof(double)));
    const auto graph = gpu::Graph::capture([&] { cuda::sum_of_squares(values, count, result); });
    CHECK(graph.nodes() == 2);  // the partial sums and their sum
    for (const float factor : {1.0f, 2.0f}) {
        for (float& value : x) value *= factor;
        gpu::copy_to_device(values, x.data(), bytes);
        cuda::sum_of_squares(values, count / 2, result + 1);  // uses the same scratch memory
        graph.launch();
        gpu::copy_to_host(&actual, result, sizeof(double));
        reference::sum_of_squares(x.data(), count, &expected);
        CHECK(std::fabs(actual - expected) <= 1e-12 * expected);
    }
    gpu::release(values);
    gpu::release(result);
}
#endif
