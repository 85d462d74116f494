#include "engine/checkpoint.h"

#include <limits>
#include <numeric>

#include <doctest/doctest.h>

#include "engine/files.h"
#include "engine/nn/layers.h"
#include "engine/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

// A module with every kind of tensor in a model.
class Small : public nn::Module {
  public:
    explicit Small(std::uint64_t seed)
        : generator_(seed),
          convolution_({.in = 2, .out = 3, .kernel = 3}, generator_, {}),
          norm_(3, {}),
          linear_(3, 4, generator_, {}) {
        register_module("conv", convolution_);
        register_module("bn", norm_);
        register_module("linear", linear_);
        norm_.running_mean.copy_from(normal_tensor(generator_, {3}, 1));
    }
    Generator generator_;
    nn::Convolution convolution_;
    nn::BatchNorm norm_;
    nn::Linear linear_;
};

std::vector<std::vector<std::byte>> bytes_of(const nn::Module& module) {
    std::vector<std::vector<std::byte>> all;
    for (const auto& named : module.state()) {
        const Tensor& tensor = named.tensor;
        const auto* data = tensor.dtype() == DType::int64
                               ? reinterpret_cast<const std::byte*>(tensor.data<std::int64_t>())
                               : reinterpret_cast<const std::byte*>(tensor.data<float>());
        all.emplace_back(data, data + tensor.bytes());
    }
    return all;
}

std::vector<std::byte> contents(const std::filesystem::path& path) {
    return read_file(path, 1 << 20);
}

std::map<std::string, std::string> load(const std::filesystem::path& path,
                                        const nn::Module& module) {
    auto state = module.state();
    return load_tensors(path, state);
}

}  // namespace

TEST_CASE("filters have PyTorch's layout on disk") {
    const TemporaryDirectory directory;
    std::vector<float> filter(2 * 3 * 5 * 7);
    std::iota(filter.begin(), filter.end(), 0.0f);
    const nn::NamedTensor named{.name = "weight",
                                .tensor = Tensor::from(filter, {2, 3, 5, 7}),
                                .layout = nn::DiskLayout::filter};
    save_tensors(directory / "w", std::span(&named, 1));
    const auto file = SafetensorsFile::read(directory / "w");
    const std::vector<float> stored =
        values<float>(file.at("weight", DType::float32, Shape{2, 7, 3, 5}));
    for (int k = 0; k < 2; ++k)
        for (int r = 0; r < 3; ++r)
            for (int s = 0; s < 5; ++s)
                for (int c = 0; c < 7; ++c)
                    CHECK(stored[((k * 7 + c) * 3 + r) * 5 + s] ==
                          filter[((k * 3 + r) * 5 + s) * 7 + c]);
}

TEST_CASE("names and shapes on disk are PyTorch's") {
    const TemporaryDirectory directory;
    const Small module(1);
    save_tensors(directory / "m", module.state());
    const auto file = SafetensorsFile::read(directory / "m");
    CHECK(file.entries().size() == 8);
    file.at("conv.weight", DType::float32, {3, 2, 3, 3});
    for (const char* name : {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"})
        file.at(name, DType::float32, {3});
    file.at("bn.num_batches_tracked", DType::int64, {});
    file.at("linear.weight", DType::float32, {4, 3});
    file.at("linear.bias", DType::float32, {4});
}

TEST_CASE("a round trip gives the same bytes, in memory and on disk") {
    const TemporaryDirectory directory;
    const Small original(1);
    original.norm_(random_tensor({2, 3}));  // increments num_batches_tracked
    const Small other(2);
    CHECK(bytes_of(other) != bytes_of(original));
    const Metadata metadata{{"epoch", "3"}};
    save_tensors(directory / "a", original.state(), metadata);
    CHECK(load(directory / "a", other) == metadata);
    CHECK(bytes_of(other) == bytes_of(original));
    CHECK(other.norm_.num_batches_tracked.to_host<std::int64_t>() == std::vector<std::int64_t>{1});
    save_tensors(directory / "b", other.state(), metadata);
    CHECK(contents(directory / "b") == contents(directory / "a"));
}

TEST_CASE("tensors of other types make the round trip") {
    const TemporaryDirectory directory;
    const std::vector<nn::NamedTensor> saved{
        {.name = "d", .tensor = Tensor::from(std::vector<double>{0.1, -2}, {2})},
        {.name = "i", .tensor = Tensor::from(std::vector<std::int32_t>{-7}, {1})},
        {.name = "b", .tensor = Tensor::from(std::vector<std::uint8_t>{0, 255, 3}, {3})}};
    save_tensors(directory / "t", saved);
    std::vector<nn::NamedTensor> loaded;
    for (const auto& named : saved)
        loaded.push_back({.name = named.name,
                          .tensor = Tensor::zeros(named.tensor.shape(), named.tensor.dtype())});
    load_tensors(directory / "t", loaded);
    CHECK(loaded[0].tensor.to_host<double>() == std::vector<double>{0.1, -2});
    CHECK(loaded[1].tensor.to_host<std::int32_t>() == std::vector<std::int32_t>{-7});
    CHECK(loaded[2].tensor.to_host<std::uint8_t>() == std::vector<std::uint8_t>{0, 255, 3});
}

TEST_CASE("a file that does not match the module is refused and changes nothing") {
    const TemporaryDirectory directory;
    const Small original(1);
    std::vector<nn::NamedTensor> tensors = original.state();
    std::string expected;
    SUBCASE("a tensor is missing") {
        tensors.erase(tensors.begin() + 6);
        expected = "linear.weight";
    }
    SUBCASE("an additional tensor") {
        tensors.push_back({.name = "head.bias", .tensor = Tensor::zeros({2})});
        expected = "head.bias";
    }
    SUBCASE("another shape") {
        tensors[7].tensor = Tensor::zeros({5});
        expected = "[5]";
    }
    SUBCASE("the engine's filter layout instead of PyTorch's") {
        tensors[0].layout = nn::DiskLayout::same;
        expected = "conv.weight";
    }
    SUBCASE("another type") {
        tensors[7].tensor = Tensor::zeros({4}, DType::float64);
        expected = "linear.bias";
    }
    SUBCASE("NaN in the last tensor") {
        tensors[7].tensor =
            Tensor::from(std::vector<float>{0, 1, std::numeric_limits<float>::quiet_NaN(), 3}, {4});
        expected = "linear.bias";
    }
    SUBCASE("infinity in a filter") {
        tensors[0].tensor =
            Tensor::full(tensors[0].tensor.shape(), -std::numeric_limits<float>::infinity());
        expected = "conv.weight";
    }
    save_tensors(directory / "bad", tensors);
    const Small module(2);
    const auto before = bytes_of(module);
    CHECK_THROWS_AS(load(directory / "bad", module), FileError);
    const std::string message = message_of([&] { load(directory / "bad", module); });
    CAPTURE(message);
    CHECK(message.find(expected) != std::string::npos);
    CHECK(message.find("bad") != std::string::npos);
    CHECK(bytes_of(module) == before);
}

TEST_CASE("a file that is damaged or absent is refused and changes nothing") {
    const TemporaryDirectory directory;
    const Small original(1), module(2);
    const auto before = bytes_of(module);
    save_tensors(directory / "m", original.state());
    std::vector<std::byte> bytes = contents(directory / "m");
    bytes.pop_back();
    write_file_atomically(directory / "short", bytes);
    CHECK_THROWS_AS(load(directory / "short", module), FileError);
    CHECK_THROWS_AS(load(directory / "absent", module), FileError);
    CHECK(bytes_of(module) == before);
}

TEST_CASE("num_batches_tracked may be missing") {
    const TemporaryDirectory directory;
    const Small original(1), module(2);
    *Tensor(module.norm_.num_batches_tracked).data<std::int64_t>() = 5;
    std::vector<nn::NamedTensor> tensors = original.state();
    std::erase_if(tensors,
                  [](const auto& named) { return named.name == "bn.num_batches_tracked"; });
    REQUIRE(tensors.size() == 7);
    save_tensors(directory / "m", tensors);
    load(directory / "m", module);
    CHECK(host(module.linear_.weight) == host(original.linear_.weight));
    CHECK(module.norm_.num_batches_tracked.to_host<std::int64_t>() == std::vector<std::int64_t>{5});
}
