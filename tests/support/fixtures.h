// PyTorch's numbers (tests/fixtures/README.md) as tensors in the engine's layouts, and comparisons
// with them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "engine/safetensors.h"
#include "engine/tensor.h"
#include "tests/support/compare.h"

namespace cnpd::tests {

inline std::filesystem::path fixture_path(std::string_view stem) {
    return std::filesystem::path(CNPD_FIXTURES) / fmt::format("{}.safetensors", stem);
}

// [N,C,H,W] -> [N,H,W,C]; filters [K,C,R,S] -> [K,R,S,C] likewise.
template <class T>
std::vector<T> channels_last(const std::vector<T>& values, const engine::Shape& shape) {
    const std::int64_t channels = shape[1], positions = shape[2] * shape[3];
    std::vector<T> result(values.size());
    for (std::int64_t n = 0; n < shape[0]; ++n)
        for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t p = 0; p < positions; ++p)
                result[(n * positions + p) * channels + c] =
                    values[(n * channels + c) * positions + p];
    return result;
}

// The tensors of one fixture file, or those of it whose names begin with a prefix.
class Fixture {
  public:
    explicit Fixture(std::string_view stem, std::string prefix = {})
        : file_(std::make_shared<engine::SafetensorsFile>(
              engine::SafetensorsFile::read(fixture_path(stem)))),
          prefix_(std::move(prefix)) {}

    // The tensors named "<name>.<...>".
    Fixture in(std::string_view name) const {
        Fixture part = *this;
        part.prefix_ += fmt::format("{}.", name);
        return part;
    }
    bool has(std::string_view name) const { return file_->find(prefix_ + std::string(name)); }
    const engine::Entry& entry(std::string_view name) const {
        return file_->at(prefix_ + std::string(name));
    }
    const engine::SafetensorsFile& file() const { return *file_; }

    // As stored, in PyTorch's layout.
    template <class T = float>
    std::vector<T> values(std::string_view name) const {
        return engine::values<T>(entry(name));
    }
    float number(std::string_view name) const { return values(name).at(0); }
    // Tensors with four axes become channels-last.
    template <class T = float>
    engine::Tensor tensor(std::string_view name) const {
        const engine::Shape& s = entry(name).shape;
        if (s.rank() != 4) return engine::Tensor::from(values<T>(name), s);
        return engine::Tensor::from(channels_last(values<T>(name), s), {s[0], s[2], s[3], s[1]});
    }
    engine::Tensor integers(std::string_view name) const { return tensor<std::int32_t>(name); }
    // The same tensor as a leaf that requires a gradient.
    engine::Tensor leaf(std::string_view name) const { return tensor(name).set_requires_grad(); }

  private:
    std::shared_ptr<engine::SafetensorsFile> file_;
    std::string prefix_;
};

// Fails unless the shapes are equal and the relative L2 error is below the tolerance; NaN fails.
// Returns the error.
inline double check_l2(const engine::Tensor& actual, const engine::Tensor& expected,
                       double tolerance, std::string_view what) {
    INFO(std::string(what));
    REQUIRE(actual.defined());
    REQUIRE(actual.shape().str() == expected.shape().str());
    const double error = relative_l2_error(actual.to_host<float>(), expected.to_host<float>());
    CHECK(error <= tolerance);
    return error;
}

// Bit for bit.
inline bool identical(const engine::Tensor& a, const engine::Tensor& b) {
    return a.shape() == b.shape() && a.to_host<float>() == b.to_host<float>();
}

}  // namespace cnpd::tests
