// Version 1: one thread for each channel walks down all rows, in Welford's order. A warp reads
// whole lines, so no sector is wasted, but 64 channels are two warps on one of 132 multiprocessors,
// and every row is a division that waits for the row before. Prediction: latency, not bandwidth. A
// load and a division in a chain take about half a microsecond a row, hundreds of times the limit
// of memory.
#include "kernels/batch_norm/versions/versions.h"
#include "kernels/common/grid.h"

namespace cnpd::kernels::cuda {
namespace {

__global__ void walk(const float* x, std::int64_t rows, float* mean, float* variance,
                     std::int64_t channels) {
    for (std::int64_t c = first_element(); c < channels; c += elements_at_once()) {
        float average = 0, squares = 0;
        for (std::int64_t row = 0; row < rows; ++row) {
            const float difference = x[row * channels + c] - average;
            average += difference / static_cast<float>(row + 1);
            squares += difference * (x[row * channels + c] - average);
        }
        mean[c] = average;
        variance[c] = squares / static_cast<float>(rows);
    }
}

}  // namespace

void batch_norm_statistics_v1(const float* x, std::int64_t rows, std::int64_t channels, float* mean,
                              float* variance) {
    launch_elements("batch_norm_statistics_v1", channels, walk, x, rows, mean, variance);
}

}  // namespace cnpd::kernels::cuda
