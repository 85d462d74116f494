#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/top_classes/top_classes.h"

namespace cnpd::kernels::cpu {

void top_classes(const float* logits, std::int64_t n, std::int64_t classes, std::int64_t k,
                 std::int32_t* labels, float* weights) {
    parallel_for(n, 64, [&](std::int64_t first, std::int64_t last) {
        std::vector<std::int32_t> order(static_cast<std::size_t>(classes));
        for (std::int64_t i = first; i < last; ++i) {
            const float* const row = logits + i * classes;
            std::iota(order.begin(), order.end(), 0);
            const auto value = [row](auto y) { return std::isnan(row[y]) ? -INFINITY : row[y]; };
            std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](auto a, auto b) {
                return value(a) > value(b) || (value(a) == value(b) && a < b);
            });
            float sum = 0;
            for (std::int64_t j = 0; j < k; ++j) {
                labels[j * n + i] = order[static_cast<std::size_t>(j)];
                sum += weights[j * n + i] = std::exp(value(labels[j * n + i]) - value(labels[i]));
            }
            for (std::int64_t j = 0; j < k; ++j) weights[j * n + i] /= sum;
        }
    });
}

}  // namespace cnpd::kernels::cpu
