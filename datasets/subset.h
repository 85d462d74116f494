// Random subsets of a data set.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/streams.h"

namespace cnpd::datasets {

// `limit` of the numbers 0 .. count-1, drawn without replacement, ascending; all of them when limit
// is 0 or not below count. Streams of the same seed draw independently.
std::vector<std::int64_t> draw_subset(std::int64_t count, std::int64_t limit, std::uint64_t seed,
                                      std::uint64_t stream);

// The images of those indices, in that order.
Images select(const Images& images, const std::vector<std::int64_t>& indices);

}  // namespace cnpd::datasets
