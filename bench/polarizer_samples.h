// Samples of a polarizer for benchmarks: labels, and on a device their groups.
#pragma once

#include "bench/operands.h"
#include "engine/dispatch.h"
#include "kernels/polarizer/group_layout.h"

namespace cnpd::bench {

// Grouped once. With one class there are no labels.
class Samples {
  public:
    explicit Samples(const kernels::PolarizerShape& shape)
        : shape_(shape),
          labels_(bench::labels(shape.n, shape.classes)),
          words_(engine::Tensor::empty({kernels::group_words(shape)}, engine::DType::int32,
                                       options().device)) {
        if (grouped()) group();
    }
    bool grouped() const {
        return shape_.classes > 1 && options().device.backend != engine::Backend::cpu;
    }
    void group() {
        CNPD_RUN_ON_GPU(options().device, group_samples, shape_, integers(labels_),
                        integers(words_));
    }
    kernels::PolarizerSamples view() {
        if (shape_.classes == 1) return {};
        return {.labels = integers(labels_), .groups = grouped() ? integers(words_) : nullptr};
    }

  private:
    kernels::PolarizerShape shape_;
    engine::Tensor labels_, words_;
};

}  // namespace cnpd::bench
