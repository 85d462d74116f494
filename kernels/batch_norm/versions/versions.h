// A simple version of batch norm's statistics, for the ladder (docs/ladder.md), with the contract
// of kernels/batch_norm/batch_norm.h.
#pragma once

#include <cstdint>

namespace cnpd::kernels::cuda {

// A thread a channel.
void batch_norm_statistics_v1(const float* x, std::int64_t rows, std::int64_t channels, float* mean,
                              float* variance);

}  // namespace cnpd::kernels::cuda
