// Random subsets of a data set.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/streams.h"

namespace cnpd::datasets {

// `limit` of the numbers 0 .. count-1, drawn without replacement, ascending; all of them if limit
// is 0 or not below count. Draws from different streams of a seed are independent.
std::vector<std::int64_t> draw_subset(std::int64_t count, std::int64_t limit, std::uint64_t seed,
                                      std::uint64_t stream);

// The images with these indices, in this order.
Images select(const Images& images, const std::vector<std::int64_t>& indices);

}  // namespace cnpd::datasets
