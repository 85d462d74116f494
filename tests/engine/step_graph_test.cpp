// Failures of recording a step. tests/cnpd/backends_test.cpp tests with whole trainings that
// replayed steps compute the same.
#include "engine/step_graph.h"

#include <new>

#include <doctest/doctest.h>

#include "engine/ops.h"
#include "engine/storage.h"
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#include "tests/support/notices.h"
#ifdef CNPD_EMULATED
#include "kernels/emulator/device_memory.h"
#endif

using namespace cnpd;
using namespace cnpd::engine;
using cnpd::tests::Notices;

namespace {

// A device on which a graph can be recorded; none in a build for the CPU.
std::vector<Device> gpus() {
    std::vector<Device> devices;
    for (const Device& device : available_devices())
        if (device.backend != Backend::cpu) devices.push_back(device);
    return devices;
}

Tensor twice(const Tensor& x) {
    return ops::add(x, x);
}

using Values = std::vector<float>;

}  // namespace

TEST_CASE("a step that cannot be recorded runs directly, with a notice") {
    for (const Device& device : gpus()) {
        CAPTURE(device.str());
        const Notices notices;
        int calls = 0;
        StepGraph graph([&](std::span<const Tensor> inputs) {
            ++calls;
            return Tensor::from(inputs[0].to_host<float>(), inputs[0].shape(), device);
        });
        const Tensor inputs[] = {Tensor::full({3}, 2, device)};
        const int runs = StepGraph::kMostFailures + 3;
        for (int i = 0; i < runs; ++i) CHECK(graph.run(inputs).to_host<float>() == Values{2, 2, 2});
        CHECK(graph.replays() == 0);
        CHECK(!graph.obstacle().empty());
        CHECK(calls == runs + StepGraph::kMostFailures);
        REQUIRE(notices.lines().size() == 2);
        CHECK(notices.lines()[0].ends_with("the next step tries again"));
        CHECK(notices.lines()[1].ends_with("from now on"));
    }
}

TEST_CASE("a step is recorded after a transient error") {
    for (const Device& device : gpus())
        for (const bool out_of_memory : {false, true}) {
            CAPTURE(device.str());
            CAPTURE(out_of_memory);
            const Notices notices;
            bool fail = true;
            StepGraph graph([&](std::span<const Tensor> inputs) {
                const Tensor doubled = twice(inputs[0]);
                if (kernels::gpu::is_capturing() && std::exchange(fail, false)) {
                    if (out_of_memory) throw std::bad_alloc();
                    throw CudaError("something passing");
                }
                return twice(doubled);
            });
            const Tensor inputs[] = {Tensor::full({3}, 2, device)};
            for (int i = 0; i < 4; ++i) {
                CHECK(graph.run(inputs).to_host<float>() == Values{8, 8, 8});
                CHECK(graph.obstacle().empty() == (i != 1));
            }
            CHECK(graph.replays() == 2);
            REQUIRE(notices.lines().size() == 1);
            CHECK(notices.lines()[0].find(out_of_memory
                                              ? "out of device memory"
                                              : "something passing") != std::string::npos);
        }
}

TEST_CASE("errors unrelated to recording end the step") {
    for (const Device& device : gpus()) {
        CAPTURE(device.str());
        StepGraph graph([&](std::span<const Tensor> inputs) -> Tensor {
            if (kernels::gpu::is_capturing()) throw NumericError("a loss that is not finite");
            return twice(inputs[0]);
        });
        const Tensor inputs[] = {Tensor::full({3}, 2, device)};
        graph.run(inputs);
        CHECK_THROWS_AS(graph.run(inputs), NumericError);
    }
}

#ifdef CNPD_EMULATED

namespace {

constexpr std::int64_t kMiB = 1 << 18;  // in floats

// Limits the emulated device to so much memory beyond the current use.
class MemoryLimit {
  public:
    explicit MemoryLimit(std::size_t free) {
        kernels::emulator::limit_device_memory(kernels::emulator::device_memory_in_use() + free);
    }
    ~MemoryLimit() { kernels::emulator::limit_device_memory(SIZE_MAX); }
    MemoryLimit(const MemoryLimit&) = delete;
    MemoryLimit& operator=(const MemoryLimit&) = delete;
};

}  // namespace

TEST_CASE("cached memory does not prevent recording") {
    const Device device{.backend = Backend::emulated};
    empty_cache(device);
    StepGraph graph([&](std::span<const Tensor> inputs) { return twice(twice(inputs[0])); });
    const Tensor inputs[] = {Tensor::full({8 * kMiB}, 1, device)};
    graph.run(inputs);
    const MemoryLimit limit(0);
    CHECK(graph.run(inputs).to_host<float>()[8 * kMiB - 1] == 4);
    CHECK(graph.obstacle() == "");
    CHECK(graph.replays() == 1);
}

TEST_CASE("running out of memory while a step is recorded does not end the run") {
    const Device device{.backend = Backend::emulated};
    const Notices notices;
    StepGraph graph([&](std::span<const Tensor> inputs) {
        const Tensor doubled = twice(inputs[0]);
        if (kernels::gpu::is_capturing()) Tensor::full({64 * kMiB}, 0, device);
        return twice(doubled);
    });
    const Tensor inputs[] = {Tensor::full({kMiB}, 1, device)};
    graph.run(inputs);
    const std::size_t before = memory_statistics(device).in_use;
    const MemoryLimit limit(16 * sizeof(float) * kMiB);
    for (int i = 0; i < 5; ++i) CHECK(graph.run(inputs).to_host<float>()[kMiB - 1] == 4);
    CHECK(graph.replays() == 0);
    CHECK(graph.obstacle() == "out of device memory");
    CHECK(memory_statistics(device).in_use == before);  // the attempts left no memory allocated
    CHECK(notices.lines().size() == 2);
}

TEST_CASE("memory of a graph is not released during its own recording") {
    const Device device{.backend = Backend::emulated};
    StepGraph graph([&](std::span<const Tensor> inputs) {
        twice(inputs[0]);  // recorded; the memory returns to the graph's pool
        if (kernels::gpu::is_capturing()) Tensor::full({12 * kMiB}, 0, device);
        return twice(inputs[0]);
    });
    const Tensor inputs[] = {Tensor::full({8 * kMiB}, 1, device)};
    graph.run(inputs);
    empty_cache(device);
    const MemoryLimit limit(16 * sizeof(float) * kMiB);  // enough for one of the two
    CHECK(graph.run(inputs).to_host<float>()[0] == 2);
    CHECK(graph.obstacle() == "out of device memory");
}

#endif
