#include "kernels/polarizer/inference.h"

#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"

namespace cnpd::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;

void widen(const bfloat16* from, std::int64_t count, float* to) {
    parallel_for(count, kGrain, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) to[i] = from[i];
    });
}

void narrow(const float* from, std::int64_t count, bfloat16* to) {
    parallel_for(count, kGrain, [=](std::int64_t first, std::int64_t last) {
#pragma omp simd
        for (std::int64_t i = first; i < last; ++i) to[i] = bfloat16(from[i]);
    });
}

}  // namespace

void polarizer_inference(const PolarizerShape& shape, const float* z, const std::int32_t* labels,
                         const float* weights, bool accumulate, const float* a, const float* b,
                         float* out) {
    polarizer_forward(shape, z, labels, weights, accumulate, a, b, out);
}

// In float32, some samples at a time, so that the widened values stay in the cache until they are
// used.
void polarizer_inference_bf16(const PolarizerShape& shape, const bfloat16* z,
                              const std::int32_t* labels, const float* weights, bool accumulate,
                              const bfloat16* a, const float* b, bfloat16* out) {
    constexpr std::int64_t kFloats = 1 << 20;
    const std::int64_t sample_size = shape.positions * shape.channels;
    if (shape.n * sample_size == 0) return;
    const std::int64_t at_once = std::clamp<std::int64_t>(kFloats / sample_size, 1, shape.n);
    const std::int64_t map_size = shape.classes * shape.channels * shape.channels;
    const Workspace maps(map_size * 4), in(at_once * sample_size * 4),
        result(at_once * sample_size * 4);
    widen(a, map_size, maps.floats());
    PolarizerShape part = shape;
    for (std::int64_t n = 0; n < shape.n; n += at_once) {
        part.n = std::min(at_once, shape.n - n);
        const std::int64_t count = part.n * sample_size;
        widen(z + n * sample_size, count, in.floats());
        if (accumulate) widen(out + n * sample_size, count, result.floats());
        polarizer_forward(part, in.floats(), labels ? labels + n : nullptr,
                          weights ? weights + n : nullptr, accumulate, maps.floats(), b,
                          result.floats());
        narrow(result.floats(), count, out + n * sample_size);
    }
}

}  // namespace cnpd::kernels::cpu
