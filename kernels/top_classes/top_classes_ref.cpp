#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/top_classes/top_classes.h"

namespace cnpd::kernels::reference {

void top_classes(const float* logits, std::int64_t n, std::int64_t classes, std::int64_t k,
                 std::int32_t* labels, float* weights) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(classes));
    for (std::int64_t i = 0; i < n; ++i) {
        const float* const row = logits + i * classes;
        std::iota(order.begin(), order.end(), 0);
        const auto value = [row](auto y) { return std::isnan(row[y]) ? -INFINITY : row[y]; };
        std::stable_sort(order.begin(), order.end(),
                         [&](auto a, auto b) { return value(a) > value(b); });
        const auto weight = [&](std::int64_t j) {
            return std::exp(double{value(order[static_cast<std::size_t>(j)])} - value(order[0]));
        };
        double sum = 0;
        for (std::int64_t j = 0; j < k; ++j) sum += weight(j);
        for (std::int64_t j = 0; j < k; ++j) {
            labels[j * n + i] = order[static_cast<std::size_t>(j)];
            weights[j * n + i] = static_cast<float>(weight(j) / sum);
        }
    }
}

}  // namespace cnpd::kernels::reference
