// Operands of the kernel benchmarks.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "bench/options.h"
#include "engine/tensor.h"
#include "kernels/common/bfloat16.h"

namespace cnpd::bench {

// Random in [-1, 1): a GPU computes faster on numbers that need less power, such as zeros.
inline float noise(std::int64_t i) {
    auto bits = static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15u;
    bits ^= bits >> 32;
    bits *= 0xD6E8FEB86659FD93u;
    return static_cast<float>(bits >> 40) * 0x1p-23f - 1;
}

// Draws only `count` values and repeats them: drawing all values of a large buffer would take
// longer than the kernels.
template <typename T>
std::vector<T> noises(std::int64_t count) {
    constexpr std::int64_t kPeriod = 1'000'003;
    std::vector<T> host(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i)
        host[i] = i < kPeriod ? static_cast<T>(noise(i)) : host[i - kPeriod];
    return host;
}

template <typename T = float>
engine::Tensor values(std::int64_t count) {
    return engine::Tensor::from(noises<T>(count), {count}, options().device);
}
inline engine::Tensor values(std::int64_t count, engine::DType dtype) {
    return dtype == engine::DType::bfloat16 ? values<kernels::bfloat16>(count) : values(count);
}

inline float* data(engine::Tensor& tensor) {
    return tensor.data<float>();
}
inline const float* data(const engine::Tensor& tensor) {
    return tensor.data<float>();
}

// Labels or indices, in [0, classes).
inline engine::Tensor labels(std::int64_t count, std::int64_t classes) {
    std::vector<std::int32_t> host;
    for (std::int64_t i = 0; i < count; ++i)
        host.push_back(static_cast<std::int32_t>((i * 2654435761u >> 8) % classes));
    return engine::Tensor::from(host, {count}, options().device);
}
inline std::int32_t* integers(engine::Tensor& tensor) {
    return tensor.data<std::int32_t>();
}

// The numbers of classes of CIFAR-10 and Tiny ImageNet.
inline std::vector<std::int64_t> numbers_of_classes() {
    return options().emulated() ? std::vector<std::int64_t>{3} : std::vector<std::int64_t>{10, 200};
}

// A ResNet-18's last stage, with eight times the batch: where polarizers are inserted.
inline std::int64_t samples() {
    return 8 * options().batch;
}
constexpr std::int64_t kPositions = 16;
inline std::int64_t channels() {
    return options().emulated() ? 16 : 512;
}

// The types of activations that the device has kernels for.
inline std::vector<engine::DType> activation_types() {
    if (options().on_host()) return {engine::DType::float32};
    return {engine::DType::float32, engine::DType::bfloat16};
}
inline const char* suffix_of(engine::DType dtype) {
    return dtype == engine::DType::bfloat16 ? "/bf16" : "";
}

}  // namespace cnpd::bench
