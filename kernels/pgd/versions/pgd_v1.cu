// Version 1: what eager code does, one kernel for each pass. The perturbation and the norms go
// through device memory between them: 12 bytes read and 4 written per element for the step, 4 read
// for the norms, and 8 read and 8 written for the projection, the clip and the next input, which
// are 36 bytes of at least 20. Every element divides its index by the channels. Prediction: memory,
// 36 / 20 of the fused kernel's time.
#include "kernels/common/device_workspace.h"
#include "kernels/common/grid.h"
#include "kernels/common/warp_reduce.h"
#include "kernels/pgd/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void move(PgdSettings s, const float* x, const float* dinput, const float* adversarial,
                     float* d, std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const float g = dinput[i] * s.inverse_std[i % s.channels];
        d[i] = adversarial[i] - x[i] - s.step * static_cast<float>((g > 0) - (g < 0));
    }
}

// A block an image.
__global__ void shrink_factors(PgdSettings s, const float* d, float* factors) {
    const std::int64_t of_image = s.pixels * s.channels;
    float sum = 0;
    for (std::int64_t i = threadIdx.x; i < of_image; i += kThreads) {
        const float value = d[blockIdx.x * of_image + i];
        sum += value * value;
    }
    const float length = sqrtf(block_sum<kThreads>(sum));
    if (threadIdx.x == 0) factors[blockIdx.x] = length > s.radius ? s.radius / length : 1.0f;
}

__global__ void clip_and_normalise(PgdSettings s, const float* x, const float* d,
                                   const float* factors, float* adversarial, float* input,
                                   std::int64_t count) {
    for (std::int64_t i = first_element(); i < count; i += elements_at_once()) {
        const std::int64_t c = i % s.channels, image = i / (s.pixels * s.channels);
        const float pixel = fminf(fmaxf(x[i] + d[i] * factors[image], 0.0f), 1.0f);
        adversarial[i] = pixel;
        input[i] = (pixel - s.mean[c]) * s.inverse_std[c];
    }
}

}  // namespace

void pgd_step_v1(const PgdSettings& settings, const float* x, const float* dinput,
                 float* adversarial, float* input) {
    const std::int64_t count = settings.n * settings.pixels * settings.channels;
    if (count == 0) return;
    const DeviceWorkspace d(static_cast<std::size_t>(count) * sizeof(float));
    const DeviceWorkspace factors(static_cast<std::size_t>(settings.n) * sizeof(float));
    launch_elements("pgd_step_v1", count, move, settings, x, dinput, adversarial, d.floats());
    launch({.name = "pgd_step_v1", .grid = static_cast<unsigned>(settings.n), .block = kThreads},
           shrink_factors, settings, d.floats(), factors.floats());
    launch_elements("pgd_step_v1", count, clip_and_normalise, settings, x, d.floats(),
                    factors.floats(), adversarial, input);
}

}  // namespace cnpd::kernels::cuda
