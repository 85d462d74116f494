// Operands and samples of a polarizer for tests of its kernels.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/polarizer/group_layout.h"
#include "kernels/polarizer/polarizer.h"
#include "tests/support/backends.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/polarizer/grouping.h"
#endif

namespace cnpd::tests {

// Values of an operand in T, and exactly the same numbers as float32.
template <typename T>
struct Operand {
    std::vector<T> stored;
    std::vector<float> exact;

    // `rounded`: to bfloat16, so that no factor is rounded further by TF32.
    Operand(std::int64_t count, bool rounded, float scale = 1) {
        for (float value : random_values(count, scale)) {
            if (rounded) value = kernels::bfloat16(value);
            stored.push_back(static_cast<T>(value));
            exact.push_back(static_cast<float>(stored.back()));
        }
    }
};

// Labels, and on a device their groups. An argument of a kernel: staged(samples.on_backend()).
class Samples {
  public:
    Samples(const kernels::PolarizerShape& shape, std::vector<std::int32_t> labels)
        : shape_(shape), labels_(std::move(labels)), words_(kernels::group_words(shape) + 1) {}

    const std::vector<std::int32_t>& labels() const { return labels_; }
    kernels::PolarizerSamples on_host() const { return {.labels = labels_.data()}; }
    kernels::PolarizerSamples in(Staging& staging) const {
        kernels::PolarizerSamples samples{.labels = staging.pass(labels_)};
#ifdef CNPD_HAS_CUDA
        if (staging.memory() == Memory::device) {
            auto* const words = const_cast<std::int32_t*>(staging.pass(words_));
            kernels::cuda::group_samples(shape_, samples.labels, words);
            samples.groups = words;
        }
#endif
        return samples;
    }
    auto on_backend() const {
        return staged([this](Staging& staging) { return in(staging); });
    }

  private:
    kernels::PolarizerShape shape_;
    std::vector<std::int32_t> labels_;
    std::vector<std::int32_t> words_;  // space on the device
};

// With several classes the last one has no sample.
inline Samples random_samples(const kernels::PolarizerShape& s) {
    const auto used = std::max<std::int64_t>(s.classes - 1, 1);
    return {s, random_labels(s.n, static_cast<std::int32_t>(used))};
}

// Maps [classes,C,C] with rows and columns exchanged.
template <typename T>
std::vector<T> transposed_maps(const std::vector<T>& maps, std::int64_t channels) {
    std::vector<T> transposed(maps.size());
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(maps.size()); ++at) {
        const std::int64_t row = at / channels;
        transposed[(row / channels * channels + at % channels) * channels + row % channels] =
            maps[at];
    }
    return transposed;
}

// A float sum of `terms` products of normal numbers: the error is some ulps of its size.
inline double sum_tolerance(std::int64_t terms) {
    return 4e-7 * static_cast<double>(terms + 10);
}

}  // namespace cnpd::tests
