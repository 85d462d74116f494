// Version 1: one thread per element of da, which sums over all rows of the class in memory order.
//
// For each row a warp loads 32 neighbouring channels of z, 4 sectors, and one channel of dout, the
// same for all of its threads: 5 sectors for 32 multiply-adds. (The forward's version 1 needs 33:
// there the threads read the map across its rows.) At 4 sectors per clock that is 1.25 clocks of a
// multiprocessor. Its four schedulers need longer: nvcc makes 8.5 instructions for a multiply-add,
// most of them 64-bit addresses, 2.1 clocks a warp. Prediction: 15 multiply-adds per clock and
// multiprocessor of the possible 128, 12 % of the peak, while the L1 cache holds what neighbouring
// warps share.
#include "kernels/common/grid.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

__global__ void one_element(PolarizerShape s, const float* z, const float* dout,
                            const std::int32_t* labels, float* da, float* db, std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t row = i / s.channels, column = i % s.channels;
        const std::int64_t label = row / s.channels, channel = row % s.channels;
        float sum = 0, of_dout = 0;
        for (std::int64_t n = 0; n < s.n; ++n) {
            if ((labels ? labels[n] : 0) != label) continue;
            const float* const my_dout = dout + n * s.positions * s.channels + channel;
            const float* const my_z = z + n * s.positions * s.channels + column;
            for (std::int64_t p = 0; p < s.positions; ++p) {
                const float gradient = my_dout[p * s.channels];
                sum += gradient * my_z[p * s.channels];
                of_dout += gradient;
            }
        }
        da[i] = sum;
        if (db && column == 0) db[row] = of_dout;
    }
}

}  // namespace

void polarizer_wgrad_v1(const PolarizerShape& shape, const float* z, const float* dout,
                        const PolarizerSamples& samples, float* da, float* db, int) {
    launch_elements("polarizer_wgrad_v1", shape.classes * shape.channels * shape.channels,
                    one_element, shape, z, dout, samples.labels, da, db);
}

}  // namespace cnpd::kernels::cuda
