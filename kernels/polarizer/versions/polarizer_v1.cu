// Version 1: one thread per output. Thread i computes out[row][c] as the inner product of a row of
// the features with a row of the map, both read from memory element by element.
//
// 2 C FLOP per output and 8 C bytes of loads, without reuse except in the caches. The threads of a
// warp have one row of features (their loads are one broadcast) and 32 neighbouring rows of the
// map, 4 C bytes apart: each such load touches 32 sectors for 128 useful bytes. At one group of 4
// sectors per clock that is 8 clocks of a multiprocessor for 32 multiply-adds. Prediction: 4
// multiply-adds per clock and multiprocessor of the possible 128, 3 % of the peak.
#include "kernels/common/grid.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

__global__ void one_output(PolarizerShape s, const float* z, const std::int32_t* labels,
                           PolarizerMaps<float> maps, float* out, std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t row = i / s.channels, c = i % s.channels, n = row / s.positions;
        const std::int64_t output = (labels ? labels[n] : 0) * s.channels + c;
        float sum = 0;
        for (std::int64_t k = 0; k < s.channels; ++k)
            sum += maps.a[output * s.channels + k] * z[row * s.channels + k];
        out[i] = maps.b ? sum + maps.b[output] : sum;
    }
}

}  // namespace

void polarizer_v1(const PolarizerShape& shape, const float* z, const PolarizerSamples& samples,
                  const PolarizerMaps<float>& maps, float* out) {
    launch_elements("polarizer_v1", shape.n * shape.positions * shape.channels, one_output, shape,
                    z, samples.labels, maps, out);
}

}  // namespace cnpd::kernels::cuda
