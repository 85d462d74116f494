#include "datasets/subset.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/random.h"

namespace cnpd::datasets {

std::vector<std::int64_t> draw_subset(std::int64_t count, std::int64_t limit, std::uint64_t seed,
                                      std::uint64_t stream) {
    std::vector<std::int64_t> indices(count);
    std::iota(indices.begin(), indices.end(), std::int64_t{0});
    if (limit <= 0 || limit >= count) return indices;
    engine::Generator generator(seed, stream);
    for (std::int64_t i = 0; i < limit; ++i)
        std::swap(indices[i], indices[i + generator.below(static_cast<std::uint32_t>(count - i))]);
    indices.resize(limit);
    std::sort(indices.begin(), indices.end());
    return indices;
}

Images select(const Images& images, const std::vector<std::int64_t>& indices) {
    const std::int64_t bytes = images.h * images.w * images.c;
    Images result{.n = static_cast<std::int64_t>(indices.size()),
                  .h = images.h,
                  .w = images.w,
                  .c = images.c};
    result.pixels.resize(result.n * bytes);
    result.labels.resize(result.n);
    for (std::int64_t i = 0; i < result.n; ++i) {
        std::copy_n(images.pixels.begin() + indices[i] * bytes, bytes,
                    result.pixels.begin() + i * bytes);
        result.labels[i] = images.labels[indices[i]];
    }
    return result;
}

}  // namespace cnpd::datasets
