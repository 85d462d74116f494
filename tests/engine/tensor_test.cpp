#include "engine/tensor.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include <doctest/doctest.h>

#include "engine/ops.h"
#include "kernels/common/error.h"
#include "tests/support/compare.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

Tensor counting(const Shape& shape) {
    std::vector<float> values(shape.elements());
    std::iota(values.begin(), values.end(), 0.0f);
    return Tensor::from(values, shape);
}

// Another device on which this backend can allocate, for tests of mixed devices.
constexpr Device kOther{.backend = Backend::cpu, .index = 1};

}  // namespace

TEST_CASE("shapes") {
    const Shape shape{2, 3, 5};
    CHECK(shape.rank() == 3);
    CHECK(shape.elements() == 30);
    CHECK(shape[-1] == 5);
    CHECK(shape[0] == 2);
    CHECK(shape.str() == "[2,3,5]");
    CHECK(Shape{}.elements() == 1);
    CHECK(Shape{}.str() == "[]");
    CHECK(Shape{4, 0}.elements() == 0);
    CHECK_THROWS_AS(shape[3], ShapeError);
    CHECK_THROWS_AS(shape[-4], ShapeError);
    CHECK_THROWS_AS(Shape({2, -1}), ShapeError);
    CHECK_THROWS_AS(Shape({std::int64_t{1} << 32, std::int64_t{1} << 31}), ShapeError);
}

TEST_CASE("values are copied to a tensor and back") {
    const std::vector<std::uint8_t> bytes{1, 2, 255};
    const Tensor tensor = Tensor::from(bytes, {3, 1});
    CHECK(tensor.dtype() == DType::uint8);
    CHECK(tensor.bytes() == 3);
    CHECK(tensor.to_host<std::uint8_t>() == bytes);
    CHECK(Tensor::from(std::vector<double>{0.1}, {}).to_host<double>() == std::vector<double>{0.1});
    CHECK(Tensor::full({2}, 0.5f).to_host<float>() == std::vector<float>{0.5f, 0.5f});
    CHECK(Tensor::full({}, -2).item() == -2);
    // Reused memory is zeroed as well.
    { const Tensor dirty = Tensor::full({1000}, 7); }
    CHECK(Tensor::zeros({1000}).to_host<float>() == std::vector<float>(1000));
    CHECK(Tensor::zeros({3}, DType::int64).to_host<std::int64_t>() == std::vector<std::int64_t>(3));
}

TEST_CASE("tensors without elements") {
    const Tensor empty = Tensor::zeros({0, 3});
    CHECK(empty.defined());
    CHECK(empty.bytes() == 0);
    CHECK(empty.to_host<float>().empty());
    CHECK(empty.clone().shape() == Shape{0, 3});
    CHECK(counting({4, 3}).rows(4, 0).elements() == 0);
    CHECK(empty.rows(0, 0).elements() == 0);
}

TEST_CASE("views share data and are off the tape") {
    Tensor tensor = counting({4, 6});
    tensor.set_requires_grad();
    const Tensor view = tensor.view({2, 3, 4}), detached = tensor.detach();
    CHECK(view.shape() == Shape{2, 3, 4});
    CHECK(!view.requires_grad());
    CHECK(!detached.requires_grad());
    CHECK(!tensor.unique());
    tensor.data<float>()[23] = -1;
    CHECK(view.to_host<float>().back() == -1);
    CHECK(detached.data<float>() == tensor.data<float>());
    CHECK_THROWS_AS(tensor.view({5, 5}), ShapeError);
}

TEST_CASE("rows() is a view of the outermost axis") {
    Tensor tensor = counting({5, 2, 3});
    Tensor rows = tensor.rows(1, 3);
    CHECK(rows.shape() == Shape{3, 2, 3});
    CHECK(rows.data<float>() == tensor.data<float>() + 6);
    CHECK(rows.to_host<float>().front() == 6);
    const Tensor inner = rows.rows(2, 1).view({6});
    CHECK(inner.to_host<float>() == std::vector<float>{18, 19, 20, 21, 22, 23});
    rows.copy_from(Tensor::zeros({3, 2, 3}));
    const std::vector<float> all = tensor.to_host<float>();
    CHECK(all[5] == 5);
    CHECK(all[6] == 0);
    CHECK(all[23] == 0);
    CHECK(all[24] == 24);
    // The view outlives its owner.
    tensor = Tensor();
    CHECK(rows.to_host<float>() == std::vector<float>(18));

    const Tensor bytes = Tensor::from(std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6}, {3, 2});
    CHECK(bytes.rows(1, 1).to_host<std::uint8_t>() == std::vector<std::uint8_t>{3, 4});

    CHECK_THROWS_AS(bytes.rows(2, 2), ShapeError);
    CHECK_THROWS_AS(bytes.rows(-1, 1), ShapeError);
    CHECK_THROWS_AS(bytes.rows(0, -1), ShapeError);
    CHECK_THROWS_AS(Tensor::zeros({}).rows(0, 1), ShapeError);
}

TEST_CASE("copies of the handle share data and gradient, clones do not") {
    Tensor tensor = counting({3});
    tensor.set_requires_grad();
    Tensor handle = tensor;
    const Tensor clone = tensor.clone();
    CHECK(clone.unique());
    CHECK(!clone.requires_grad());
    handle.data<float>()[0] = 9;
    handle.set_grad(Tensor::full({3}, 4));
    CHECK(tensor.to_host<float>()[0] == 9);
    CHECK(tensor.grad().to_host<float>() == std::vector<float>(3, 4));
    CHECK(clone.to_host<float>() == std::vector<float>{0, 1, 2});
    CHECK(!clone.grad().defined());
    tensor.zero_grad();
    CHECK(!handle.grad().defined());
    handle.set_requires_grad(false);
    CHECK(!tensor.requires_grad());
    CHECK(tensor.to(Device{}).data<float>() == tensor.data<float>());
}

TEST_CASE("copying overwrites in place") {
    Tensor target = Tensor::zeros({2, 2});
    const float* data = target.data<float>();
    target.copy_from(counting({2, 2}));
    CHECK(target.data<float>() == data);
    CHECK(target.to_host<float>() == std::vector<float>{0, 1, 2, 3});
    CHECK_THROWS_AS(target.copy_from(counting({4})), ShapeError);
    CHECK_THROWS_AS(target.copy_from(Tensor::zeros({2, 2}, DType::int32)), ShapeError);
    CHECK_THROWS_AS(target.copy_from(Tensor::zeros({2, 2}, DType::float32, kOther)), ShapeError);
    CHECK_THROWS_AS(target.copy_from(Tensor()), Error);
    CHECK(target.to_host<float>() == std::vector<float>{0, 1, 2, 3});
}

TEST_CASE("access with another element type is an error") {
    Tensor tensor = counting({2});
    CHECK_THROWS_AS(tensor.data<double>(), ShapeError);
    CHECK_THROWS_AS(tensor.to_host<std::int32_t>(), ShapeError);
    CHECK_THROWS_AS(Tensor::zeros({}, DType::int32).item(), ShapeError);
    CHECK_THROWS_AS(tensor.item(), ShapeError);
    CHECK_THROWS_AS(Tensor::from(std::vector<float>(3), {2}), ShapeError);
    CHECK_THROWS_AS(Tensor::from_bytes(std::vector<std::byte>(7), {2}, DType::float32), ShapeError);
    CHECK_THROWS_AS(Tensor::zeros({2}, DType::int32).set_requires_grad(), Error);
    CHECK_NOTHROW(Tensor::zeros({2}, DType::bfloat16).set_requires_grad());
}

TEST_CASE("more bytes than can be addressed are refused") {
    CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 61}, DType::float64), ShapeError);
    CHECK_THROWS_AS(Tensor::empty({std::int64_t{1} << 62}), ShapeError);
}

TEST_CASE("access to an undefined tensor is an error") {
    const Tensor undefined;
    CHECK(!undefined.defined());
    CHECK(!undefined.requires_grad());
    CHECK(!undefined.grad().defined());
    CHECK(!undefined.detach().defined());
    CHECK_THROWS_AS(undefined.device(), Error);
    CHECK_THROWS_AS(undefined.data<float>(), Error);
    CHECK_THROWS_AS(undefined.to_host<float>(), Error);
    CHECK_THROWS_AS(undefined.clone(), Error);
}

TEST_CASE("set_requires_grad() is refused for tensors that are not leaves") {
    Tensor leaf = counting({3});
    leaf.set_requires_grad();
    Tensor result = ops::relu(leaf);
    CHECK_THROWS_AS(result.set_requires_grad(false), Error);
    CHECK(result.requires_grad());
}

TEST_CASE("devices that this build does not have") {
    CHECK(device_from_name("cpu") == Device{});
    CHECK(Device{.backend = Backend::cuda, .index = 1}.str() == "cuda:1");
    CHECK_THROWS_AS(device_from_name("toaster"), InputError);
    const auto devices = available_devices();
    CHECK(std::count(devices.begin(), devices.end(), Device{}) == 1);
    const auto built = built_backends();
    for (const Backend backend : {Backend::cuda, Backend::emulated}) {
        if (std::find(built.begin(), built.end(), backend) != built.end()) continue;
        CHECK_THROWS_AS(device_from_name(name_of(backend)), DeviceError);
        CHECK_THROWS_AS(Tensor::zeros({1}, DType::float32, {.backend = backend}), DeviceError);
    }
}

TEST_CASE("the allocator reuses released memory") {
    constexpr Device device{};
    for (const std::int64_t count : {1, 1000, 3'000'000}) {
        CAPTURE(count);
        empty_cache(device);
        const MemoryStatistics before = memory_statistics(device);
        const void* address = nullptr;
        MemoryStatistics during;
        {
            const Tensor tensor = Tensor::full({count}, 1);
            address = tensor.data<float>();
            CHECK(reinterpret_cast<std::uintptr_t>(address) % 64 == 0);
            during = memory_statistics(device);
            CHECK(during.in_use >= before.in_use + tensor.bytes());
            CHECK(during.peak >= during.in_use);
            CHECK(during.reserved >= during.in_use);
            // A view keeps the memory.
            const Tensor view = tensor.view({count, 1});
            CHECK(memory_statistics(device).in_use == during.in_use);
        }
        CHECK(memory_statistics(device).in_use == before.in_use);
        CHECK(memory_statistics(device).reserved == during.reserved);
        CHECK(memory_statistics(device).peak >= during.in_use);
        const Tensor again = Tensor::empty({count});
        CHECK(again.data<float>() == address);
        CHECK(memory_statistics(device).reserved == during.reserved);
    }
}

TEST_CASE("an emptied cache returns to the system, live tensors stay") {
    constexpr Device device{};
    const Tensor live = Tensor::full({5000}, 3);
    { const Tensor gone = Tensor::full({2'000'000}, 1); }
    CHECK(memory_statistics(device).reserved >= memory_statistics(device).in_use + 8'000'000);
    empty_cache(device);
    CHECK(memory_statistics(device).reserved == memory_statistics(device).in_use);
    CHECK(live.to_host<float>() == std::vector<float>(5000, 3));
    CHECK(peak_resident_bytes() > 8'000'000);
}

TEST_CASE("a pool's memory is not shared, and lives as long as its tensors") {
    constexpr Device device{};
    empty_cache(device);
    const MemoryStatistics before = memory_statistics(device);
    Tensor kept;
    const float* freed = nullptr;
    {
        const auto pool = make_memory_pool(device);
        {
            const MemoryPoolScope scope(pool);
            kept = Tensor::full({3'000'000}, 5);
            freed = Tensor::full({3'000'000}, 6).data<float>();
            CHECK(Tensor::empty({3'000'000}).data<float>() == freed);
        }
        // Outside of the scope only the pool itself can reuse the buffer.
        const Tensor other = Tensor::full({3'000'000}, 7);
        CHECK(other.data<float>() != freed);
        const MemoryPoolScope scope(pool);
        CHECK(Tensor::empty({3'000'000}).data<float>() == freed);
    }
    CHECK(kept.to_host<float>() == std::vector<float>(3'000'000, 5));
    kept = {};
    empty_cache(device);
    CHECK(memory_statistics(device).in_use == before.in_use);
    CHECK(memory_statistics(device).reserved == before.reserved);
}

TEST_CASE("a cached buffer that is much too large is not used for a small tensor") {
    constexpr Device device{};
    empty_cache(device);
    const void* address = nullptr;
    {
        const Tensor large = Tensor::full({8'000'000}, 1);
        address = large.data<float>();
    }
    const std::size_t before = memory_statistics(device).in_use;
    const Tensor small = Tensor::full({1'000'000}, 1);
    CHECK(small.data<float>() != address);
    CHECK(memory_statistics(device).in_use - before < 7'000'000);
}
