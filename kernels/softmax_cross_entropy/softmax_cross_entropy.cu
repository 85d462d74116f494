// One warp per row: data sets have few classes, so a row's maximum and sum need only shuffles and
// no barrier. All kernels are limited by device memory: a row is read from there once, and again,
// up to twice, from the L1 cache. Bytes per logit: softmax and backward 8, forward and argmax 4.
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include "kernels/common/grid_sum.h"
#include "kernels/common/logit_rows.h"

namespace cnpd::kernels::cuda {
namespace {

template <int Width>
__global__ void softmax_rows(const float* logits, std::int64_t rows, std::int64_t classes,
                             float* probabilities) {
    for (std::int64_t r = first_warp(); r < rows; r += warps_at_once()) {
        const float* row = logits + r * classes;
        const float maximum = largest<Width>(row, classes);
        const auto factor =
            static_cast<float>(1 / sum_of_exponentials<Width>(row, classes, maximum));
        transform_row<Width>(
            row, classes, probabilities + r * classes,
            [=](std::int64_t, float logit) { return expf(logit - maximum) * factor; });
    }
}

template <int Width>
__global__ void losses_of_rows(const float* logits, const std::int32_t* labels, std::int64_t rows,
                               std::int64_t classes, float smoothing, float* losses) {
    for (std::int64_t r = first_warp(); r < rows; r += warps_at_once()) {
        const float* row = logits + r * classes;
        const std::int32_t label = labels[r];
        double loss = 0;
        if (label >= 0) {
            const float maximum = largest<Width>(row, classes);
            const double normalizer = log(sum_of_exponentials<Width>(row, classes, maximum));
            loss = normalizer - (1.0 - smoothing) * (static_cast<double>(row[label]) - maximum);
            if (smoothing != 0) {
                float deviations = 0;
                for_classes_of_lane<Width>(row, classes, [&](std::int64_t, float logit) {
                    deviations += logit - maximum;
                });
                loss -= smoothing * warp_sum(static_cast<double>(deviations)) /
                        static_cast<double>(classes);
            }
        }
        if (lane() == 0) losses[r] = static_cast<float>(loss);
    }
}

template <int Width>
__global__ void gradients_of_rows(const float* logits, const std::int32_t* labels,
                                  std::int64_t rows, std::int64_t classes, float smoothing,
                                  const float* of_row, float* dlogits) {
    const float weight = *of_row;
    const float everywhere = smoothing / static_cast<float>(classes), on_label = 1 - smoothing;
    for (std::int64_t r = first_warp(); r < rows; r += warps_at_once()) {
        const float* row = logits + r * classes;
        float* to = dlogits + r * classes;
        const std::int32_t label = labels[r];
        if (label < 0) {
            transform_row<Width>(row, classes, to, [](std::int64_t, float) { return 0.0f; });
            continue;
        }
        const float maximum = largest<Width>(row, classes);
        const auto factor =
            static_cast<float>(1 / sum_of_exponentials<Width>(row, classes, maximum));
        transform_row<Width>(row, classes, to, [=](std::int64_t k, float logit) {
            const float target = everywhere + (k == label ? on_label : 0);
            return weight * (expf(logit - maximum) * factor - target);
        });
    }
}

template <int Width>
__global__ void argmax_of_rows(const float* logits, std::int64_t rows, std::int64_t classes,
                               std::int32_t* predictions) {
    for (std::int64_t r = first_warp(); r < rows; r += warps_at_once()) {
        const std::int32_t prediction = argmax_of_row<Width>(logits + r * classes, classes);
        if (lane() == 0) predictions[r] = prediction;
    }
}

// A lane keeps the count of its own set, so one addition per warp and set remains. Integer sums do
// not depend on the order.
template <int Width>
__global__ void matches_of_rows(const float* logits, std::int64_t rows, std::int64_t classes,
                                const std::int32_t* expected, std::int64_t sets,
                                unsigned long long* counts) {
    for (std::int64_t set0 = 0; set0 < sets; set0 += kWarp) {
        const std::int64_t set = set0 + lane();
        unsigned long long mine = 0;
        for (std::int64_t r = first_warp(); r < rows; r += warps_at_once()) {
            const std::int32_t prediction = argmax_of_row<Width>(logits + r * classes, classes);
            if (set < sets) mine += expected[set * rows + r] == prediction;
        }
        if (mine > 0) atomicAdd(&counts[set], mine);
    }
}

__global__ void __launch_bounds__(kSumThreads)
    weight_of_mean(const std::int32_t* labels, std::int64_t rows, float* weight) {
    int counted = 0;
    for (std::int64_t r = threadIdx.x; r < rows; r += kSumThreads) counted += labels[r] >= 0;
    counted = block_sum<kSumThreads>(counted);
    if (threadIdx.x == 0) *weight = 1.0f / static_cast<float>(counted > 0 ? counted : 1);
}

// 8 bytes per pair.
struct EqualPairs {
    const std::int32_t *a, *b;
    template <int Width>
    __device__ std::int64_t at(std::int64_t i) const {
        const auto left = load<Width>(a + i), right = load<Width>(b + i);
        int equal = 0;
        for (int k = 0; k < Width; ++k) equal += left.of[k] == right.of[k];
        return equal;
    }
};

}  // namespace

void softmax(const float* logits, std::int64_t rows, std::int64_t classes, float* probabilities) {
    const int width = widest_access_of_rows(classes, logits, probabilities);
    launch_rows("softmax", rows, width == 4 ? softmax_rows<4> : softmax_rows<1>, logits, rows,
                classes, probabilities);
}

void softmax_cross_entropy_forward(const float* logits, const std::int32_t* labels,
                                   std::int64_t rows, std::int64_t classes, float smoothing,
                                   float* losses) {
    const int width = widest_access_of_rows(classes, logits);
    launch_rows("softmax_cross_entropy_forward", rows,
                width == 4 ? losses_of_rows<4> : losses_of_rows<1>, logits, labels, rows, classes,
                smoothing, losses);
}

void softmax_cross_entropy_backward(const float* logits, const std::int32_t* labels,
                                    std::int64_t rows, std::int64_t classes, float smoothing,
                                    const float* weight, float* dlogits) {
    const int width = widest_access_of_rows(classes, logits, dlogits);
    launch_rows("softmax_cross_entropy_backward", rows,
                width == 4 ? gradients_of_rows<4> : gradients_of_rows<1>, logits, labels, rows,
                classes, smoothing, weight, dlogits);
}

void argmax(const float* logits, std::int64_t rows, std::int64_t classes,
            std::int32_t* predictions) {
    const int width = widest_access_of_rows(classes, logits);
    launch_rows("argmax", rows, width == 4 ? argmax_of_rows<4> : argmax_of_rows<1>, logits, rows,
                classes, predictions);
}

void count_equal(const std::int32_t* a, const std::int32_t* b, std::int64_t count,
                 std::int64_t* result) {
    launch_sum("count_equal", count, EqualPairs{a, b}, result, a, b);
}

void mean_weight(const std::int32_t* labels, std::int64_t rows, float* weight) {
    launch({.name = "mean_weight", .grid = 1, .block = kSumThreads}, weight_of_mean, labels, rows,
           weight);
}

void count_matches(const float* logits, std::int64_t rows, std::int64_t classes,
                   const std::int32_t* expected, std::int64_t sets, std::int64_t* counts) {
    const int width = widest_access_of_rows(classes, logits);
    static_assert(sizeof(unsigned long long) == sizeof(std::int64_t));
    launch_rows("count_matches", rows, width == 4 ? matches_of_rows<4> : matches_of_rows<1>, logits,
                rows, classes, expected, sets, reinterpret_cast<unsigned long long*>(counts));
}

}  // namespace cnpd::kernels::cuda
