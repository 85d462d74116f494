// One block for each image: normalisation of the gradient, step, projection, clip and normalised
// input, with one pass over device memory (12 bytes read and 8 written per element; with bfloat16
// activations 10 and 6). Between them are reductions over the image, during which the perturbation
// is kept in shared memory. For an image too large for that it is computed again in every pass.
#include "kernels/pgd/pgd.h"

#include "kernels/common/vector_access.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

// A multiple of 3: with accesses of 4 elements a thread always has the same colours.
constexpr int kThreads = 192;

__device__ float sign(float value) {
    return static_cast<float>((value > 0) - (value < 0));
}

// The normalisation of a thread's pack of elements. The block has Width * kThreads elements at
// once. If that is not a multiple of the channels, the pack's channels change from one pack to the
// next: only with Width 1, see pgd_step().
template <int Width>
class Channels {
  public:
    __device__ explicit Channels(const PgdSettings& s) : settings_(s) {
        const auto channels = static_cast<unsigned>(s.channels);
        channel_ = Width * threadIdx.x % channels;
        step_ = Width * kThreads % channels;
        read();
    }
    __device__ void next() {
        if (Width > 1 || step_ == 0) return;
        channel_ += step_;
        if (channel_ >= settings_.channels) channel_ -= static_cast<unsigned>(settings_.channels);
        read();
    }
    __device__ Pack<float, Width> normalised(const Pack<float, Width>& pixels) const {
        Pack<float, Width> result;
        for (int k = 0; k < Width; ++k) result.of[k] = (pixels.of[k] - mean_[k]) * inverse_std_[k];
        return result;
    }
    __device__ float inverse_std(int k) const { return inverse_std_[k]; }

  private:
    __device__ void read() {
        unsigned channel = channel_;
        for (int k = 0; k < Width; ++k) {
            mean_[k] = settings_.mean[channel];
            inverse_std_[k] = settings_.inverse_std[channel];
            if (++channel == settings_.channels) channel = 0;
        }
    }

    const PgdSettings& settings_;
    unsigned channel_, step_;
    float mean_[Width], inverse_std_[Width];
};

// The block's image.
template <int Width, typename Activation>
struct Image {
    using Values = Pack<float, Width>;

    const PgdSettings& s;
    std::int64_t count;  // elements
    const float* x;
    const Activation* dinput;
    float* adversarial;
    Activation* input;
    Channels<Width> channels;

    // visit(i, channels) for each of the thread's packs, whose first element is i. These are the
    // same in every pass, so between the reductions no thread reads elements of another one.
    template <typename Visit>
    __device__ void for_each(Visit visit) const {
        Channels<Width> of_pack = channels;
        for (std::int64_t i = Width * threadIdx.x; i < count; i += Width * kThreads) {
            visit(i, of_pack);
            of_pack.next();
        }
    }

    // With respect to pixels.
    __device__ Values gradient(std::int64_t i, const Channels<Width>& of_pack) const {
        const auto by_input = load<Width>(dinput + i);
        Values result;
        for (int k = 0; k < Width; ++k)
            result.of[k] = float{by_input.of[k]} * of_pack.inverse_std(k);
        return result;
    }
    // The perturbation after the step, before the projection.
    __device__ Values moved(std::int64_t i, const Channels<Width>& of_pack, float scale) const {
        const Values g = gradient(i, of_pack);
        const auto from = load<Width>(x + i), now = load<Width>(adversarial + i);
        Values result;
        for (int k = 0; k < Width; ++k) {
            const float form = s.gradient == PgdGradient::sign ? sign(g.of[k]) : g.of[k] * scale;
            result.of[k] = now.of[k] - from.of[k] - s.step * form;
        }
        return result;
    }
    __device__ void write_input(std::int64_t i, const Channels<Width>& of_pack,
                                const Values& pixels) const {
        const Values normalised = of_pack.normalised(pixels);
        Pack<Activation, Width> rounded;
        for (int k = 0; k < Width; ++k) rounded.of[k] = Activation(normalised.of[k]);
        store(input + i, rounded);
    }
};

// A factor that makes the gradient's L2 norm 1. The gradient is scaled by its largest element
// first, because the squares of tiny gradients would underflow.
template <int Width, typename Activation>
__device__ float to_unit_length(const Image<Width, Activation>& image) {
    float largest = 0;
    image.for_each([&](std::int64_t i, const auto& channels) {
        const auto g = image.gradient(i, channels);
        for (int k = 0; k < Width; ++k) largest = fmaxf(largest, fabsf(g.of[k]));
    });
    largest = block_reduce<kThreads>(largest, Maximum{});
    if (largest == 0) return 1;
    const float up = 1 / largest;
    float sum = 0;
    image.for_each([&](std::int64_t i, const auto& channels) {
        const auto g = image.gradient(i, channels);
        for (int k = 0; k < Width; ++k) sum += g.of[k] * up * (g.of[k] * up);
    });
    return up / sqrtf(block_sum<kThreads>(sum));
}

// The soft threshold that reduces the L1 norm of a perturbation to the radius, 0 if the norm is
// smaller. Michelot's algorithm: remove the elements that the last threshold sets to 0 and solve
// again. It ends when no element is removed, after a few rounds. for_each_value(visit) calls
// visit(value) for the thread's elements.
template <typename ForEachValue>
__device__ float l1_threshold(ForEachValue for_each_value, float radius) {
    float threshold = 0, kept_before = -1;
    for (;;) {
        float sum = 0, kept = 0;
        for_each_value([&](float value) {
            const bool keep = fabsf(value) > threshold;
            sum += keep ? fabsf(value) : 0.0f;
            kept += keep ? 1.0f : 0.0f;
        });
        sum = block_sum<kThreads>(sum);
        kept = block_sum<kThreads>(kept);
        if (sum - kept * threshold <= radius || kept == kept_before || kept == 0) return threshold;
        threshold = (sum - radius) / kept;
        kept_before = kept;
    }
}

// How a perturbation is moved to the nearest point of the ball.
struct Projection {
    float scale = 1, threshold = 0;  // for l2, l1

    template <typename ForEachValue>
    __device__ Projection(const PgdSettings& s, ForEachValue for_each_value) {
        if (s.norm == PgdNorm::l2) {
            float sum = 0;
            for_each_value([&](float value) { sum += value * value; });
            const float length = sqrtf(block_sum<kThreads>(sum));
            if (length > s.radius) scale = s.radius / length;
        } else if (s.norm == PgdNorm::l1) {
            threshold = l1_threshold(for_each_value, s.radius);
        }
    }
    __device__ float operator()(const PgdSettings& s, float d) const {
        d *= scale;
        if (s.norm == PgdNorm::linf) d = fminf(fmaxf(d, -s.radius), s.radius);
        if (threshold > 0) d = sign(d) * fmaxf(fabsf(d) - threshold, 0.0f);
        return d;
    }
};

template <bool InShared, int Width, typename Activation>
__global__ void __launch_bounds__(kThreads)
    step(PgdSettings s, const float* x, const Activation* dinput, float* adversarial,
         Activation* input) {
    const std::int64_t count = s.pixels * s.channels;
    const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * count;
    const Image<Width, Activation> image{
        s, count, x + at, dinput + at, adversarial + at, input + at, Channels<Width>(s)};
    if (s.stopped && *s.stopped) {
        image.for_each([&](std::int64_t i, const auto& channels) {
            image.write_input(i, channels, load<Width>(image.adversarial + i));
        });
        return;
    }

    CNPD_DYNAMIC_SHARED(float, kept);
    const float gradient_scale =
        s.gradient == PgdGradient::normalised ? to_unit_length(image) : 1.0f;
    if constexpr (InShared)
        image.for_each([&](std::int64_t i, const auto& channels) {
            store(kept + i, image.moved(i, channels, gradient_scale));
        });
    const auto perturbation = [&](std::int64_t i, const auto& channels) {
        if constexpr (InShared)
            return load<Width>(kept + i);
        else
            return image.moved(i, channels, gradient_scale);
    };
    const Projection project(s, [&](auto visit) {
        image.for_each([&](std::int64_t i, const auto& channels) {
            const auto d = perturbation(i, channels);
            for (int k = 0; k < Width; ++k) visit(d.of[k]);
        });
    });
    image.for_each([&](std::int64_t i, const auto& channels) {
        const auto d = perturbation(i, channels);
        const auto from = load<Width>(image.x + i);
        Pack<float, Width> pixels;
        for (int k = 0; k < Width; ++k)
            pixels.of[k] = fminf(fmaxf(from.of[k] + project(s, d.of[k]), 0.0f), 1.0f);
        store(image.adversarial + i, pixels);
        image.write_input(i, channels, pixels);
    });
}

template <int Width, typename Activation>
void launch_step(const PgdSettings& s, const float* x, const Activation* dinput, float* adversarial,
                 Activation* input) {
    constexpr std::int64_t kMostShared = 96 << 10;
    const auto bytes = s.pixels * s.channels * static_cast<std::int64_t>(sizeof(float));
    const bool in_shared = bytes <= kMostShared;
    launch({.name = "pgd_step",
            .grid = static_cast<unsigned>(s.n),
            .block = kThreads,
            .dynamic_shared = static_cast<std::size_t>(in_shared ? bytes : 0)},
           in_shared ? step<true, Width, Activation> : step<false, Width, Activation>, s, x, dinput,
           adversarial, input);
}

}  // namespace

template <typename Activation>
void pgd_step(const PgdSettings& settings, const float* x, const Activation* dinput,
              float* adversarial, Activation* input) {
    // Four elements for both types: 16 bytes of pixels, which are most of the bytes. Eight would be
    // two accesses with gaps between the lanes, which have bank conflicts in shared memory.
    constexpr int kWidth = 4;
    const std::int64_t count = settings.pixels * settings.channels;
    if (settings.n == 0 || count == 0) return;
    const bool aligned = count % kWidth == 0 && widest_access(x, dinput, adversarial, input) > 1;
    const bool channels_repeat = kWidth * kThreads % settings.channels == 0;
    (aligned && channels_repeat
         ? launch_step<kWidth, Activation>
         : launch_step<1, Activation>)(settings, x, dinput, adversarial, input);
}
CNPD_INSTANTIATE(pgd_step);

}  // namespace cnpd::kernels::cuda
