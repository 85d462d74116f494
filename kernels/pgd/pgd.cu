// One block for each image: normalisation of the gradient, step, projection, clip and normalised
// input, with one pass over device memory (12 bytes read and 8 written per element). Between them
// are reductions over the image, during which the perturbation is kept in shared memory. For an
// image too large for that it is kept in `input`, which is overwritten last.
#include "kernels/pgd/pgd.h"

#include "kernels/common/cuda.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float sign(float value) {
    return static_cast<float>((value > 0) - (value < 0));
}

// Sum of f(values[i]) over the image, returned to every thread.
template <typename F>
__device__ float image_sum(const float* values, std::int64_t count, F f) {
    float sum = 0;
    for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += f(values[i]);
    return block_sum<kThreads>(sum);
}

__device__ float l2_norm(const float* values, std::int64_t count) {
    return sqrtf(image_sum(values, count, [](float v) { return v * v; }));
}

// The soft threshold that reduces the L1 norm to the radius, 0 if the norm is smaller. Michelot's
// algorithm: remove the elements that the last threshold sets to 0 and solve again. It ends when no
// element is removed, after a few rounds.
__device__ float l1_threshold(const float* d, std::int64_t count, float radius) {
    float threshold = 0, kept_before = -1;
    for (;;) {
        const float now = threshold;
        const float sum =
            image_sum(d, count, [now](float v) { return fabsf(v) > now ? fabsf(v) : 0.0f; });
        const float kept =
            image_sum(d, count, [now](float v) { return fabsf(v) > now ? 1.0f : 0.0f; });
        if (sum - kept * now <= radius || kept == kept_before || kept == 0) return threshold;
        threshold = (sum - radius) / kept;
        kept_before = kept;
    }
}

template <bool InShared>
__global__ void __launch_bounds__(kThreads)
    step(PgdSettings s, const float* x, const float* dinput, float* adversarial, float* input) {
    const std::int64_t count = s.pixels * s.channels;
    const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * count;
    CNPD_DYNAMIC_SHARED(float, shared);
    float* const d = InShared ? shared : input + at;
    // A thread always accesses the same elements, so between the reductions no thread reads
    // elements of another one.
    const auto for_each = [&](auto visit) {
        for (std::int64_t i = threadIdx.x; i < count; i += kThreads) visit(i);
    };

    const auto normalised = [&](float pixel, std::int64_t i) {
        const std::int64_t c = i % s.channels;
        return (pixel - s.mean[c]) * s.inverse_std[c];
    };
    if (s.stopped && *s.stopped) {
        for_each([&](std::int64_t i) { input[at + i] = normalised(adversarial[at + i], i); });
        return;
    }

    float gradient_scale = 1;
    if (s.gradient == PgdGradient::normalised) {
        for_each([&](std::int64_t i) { d[i] = dinput[at + i] * s.inverse_std[i % s.channels]; });
        // Scaled by the largest element first: squares of tiny gradients would underflow.
        float largest = 0;
        for_each([&](std::int64_t i) { largest = fmaxf(largest, fabsf(d[i])); });
        largest = block_reduce<kThreads>(largest, Maximum{});
        if (largest > 0) {
            const float up = 1 / largest;
            gradient_scale =
                up / sqrtf(image_sum(d, count, [up](float v) { return v * up * (v * up); }));
        }
    }
    for_each([&](std::int64_t i) {
        const float g = dinput[at + i] * s.inverse_std[i % s.channels];
        const float form = s.gradient == PgdGradient::sign ? sign(g) : g * gradient_scale;
        d[i] = adversarial[at + i] - x[at + i] - s.step * form;
    });

    float scale = 1, threshold = 0;
    if (s.norm == PgdNorm::l2) {
        const float length = l2_norm(d, count);
        if (length > s.radius) scale = s.radius / length;
    } else if (s.norm == PgdNorm::l1) {
        threshold = l1_threshold(d, count, s.radius);
    }
    for_each([&](std::int64_t i) {
        float moved = d[i] * scale;
        if (s.norm == PgdNorm::linf) moved = fminf(fmaxf(moved, -s.radius), s.radius);
        if (threshold > 0) moved = sign(moved) * fmaxf(fabsf(moved) - threshold, 0.0f);
        const float pixel = fminf(fmaxf(x[at + i] + moved, 0.0f), 1.0f);
        adversarial[at + i] = pixel;
        input[at + i] = normalised(pixel, i);
    });
}

}  // namespace

void pgd_step(const PgdSettings& settings, const float* x, const float* dinput, float* adversarial,
              float* input) {
    const std::int64_t count = settings.pixels * settings.channels;
    if (settings.n == 0 || count == 0) return;
    constexpr std::int64_t kMostShared = 96 << 10;
    const auto bytes = count * static_cast<std::int64_t>(sizeof(float));
    const LaunchShape shape = {
        .name = "pgd_step",
        .grid = static_cast<unsigned>(settings.n),
        .block = kThreads,
        .dynamic_shared = static_cast<std::size_t>(bytes <= kMostShared ? bytes : 0)};
    launch(shape, bytes <= kMostShared ? step<true> : step<false>, settings, x, dinput, adversarial,
           input);
}

}  // namespace cnpd::kernels::cuda
