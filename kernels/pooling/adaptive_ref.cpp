#include <vector>

#include "kernels/pooling/adaptive.h"

namespace cnpd::kernels::reference {
namespace {

// Calls body(input element, output element, area of the window) for every element of every window.
template <class Body>
void for_each_pair(const AdaptivePoolingShape& s, const Body& body) {
    for (std::int64_t n = 0; n < s.n; ++n)
        for (std::int64_t oh = 0; oh < s.out_h; ++oh)
            for (std::int64_t ow = 0; ow < s.out_w; ++ow) {
                const Overlap rows = overlap(oh, s.out_h, s.h), columns = overlap(ow, s.out_w, s.w);
                const auto area = static_cast<double>(rows.size() * columns.size());
                const std::int64_t out = ((n * s.out_h + oh) * s.out_w + ow) * s.c;
                for (std::int64_t h = rows.first; h < rows.end; ++h)
                    for (std::int64_t w = columns.first; w < columns.end; ++w)
                        for (std::int64_t c = 0; c < s.c; ++c)
                            body(((n * s.h + h) * s.w + w) * s.c + c, out + c, area);
            }
}

}  // namespace

void adaptive_average_pool_forward(const AdaptivePoolingShape& shape, const float* x, float* y) {
    std::vector<double> means(shape.n * shape.out_h * shape.out_w * shape.c);
    for_each_pair(
        shape, [&](std::int64_t in, std::int64_t out, double area) { means[out] += x[in] / area; });
    for (std::size_t i = 0; i < means.size(); ++i) y[i] = static_cast<float>(means[i]);
}

void adaptive_average_pool_backward(const AdaptivePoolingShape& shape, const float* dy, float* dx) {
    std::vector<double> sums(shape.n * shape.h * shape.w * shape.c);
    for_each_pair(
        shape, [&](std::int64_t in, std::int64_t out, double area) { sums[in] += dy[out] / area; });
    for (std::size_t i = 0; i < sums.size(); ++i) dx[i] = static_cast<float>(sums[i]);
}

}  // namespace cnpd::kernels::reference
