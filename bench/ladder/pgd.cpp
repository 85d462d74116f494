// A step along the gradient's sign in the L2 ball, on 8192 images of 32x32x3.
#include "kernels/pgd/pgd.h"
#include "bench/ladder/buffer.h"
#include "bench/ladder/ladder.h"
#include "kernels/pgd/versions/versions.h"

namespace cnpd::bench {
namespace {

using namespace cnpd::kernels;

constexpr std::int64_t kImages = 8192, kPixels = 32 * 32, kColours = 3;
constexpr double kElements = static_cast<double>(kImages * kPixels * kColours);

template <typename T, typename Version>
Call call(bool typical, std::int64_t offset, const Version& version) {
    const std::int64_t images = typical ? kImages : 4, count = images * kPixels * kColours;
    const auto x = device_values<float>(count + offset),
               adversarial = device_values<float>(count + offset);
    const auto dinput = device_values<T>(count + offset), input = device_values<T>(count + offset);
    const auto scale = device_values<float>(kColours);
    const PgdSettings settings{.n = images,
                               .pixels = kPixels,
                               .channels = kColours,
                               .mean = scale.get(),
                               .inverse_std = scale.get()};
    return {[=, keep = scale] {
                version(settings, x.get() + offset, dinput.get() + offset,
                        adversarial.get() + offset, input.get() + offset);
            },
            static_cast<double>(count)};
}

Work work(double bytes_of_element, int launches) {
    return {.bytes = bytes_of_element * kElements, .fp32 = 15 * kElements, .launches = launches};
}

}  // namespace

Ladder pgd_ladder() {
    constexpr double kPerturbation = kPixels * kColours * sizeof(float);  // in shared memory
    return {
        .operation = "pgd",
        .size = "8192 x 32x32x3, sign, L2",
        .unit = "element",
        .units = kElements,
        .rungs = {
            {.version = "v1",
             .idea = "a kernel for each pass, a division for each element",
             .file = "versions/pgd_v1.cu",
             .kernel = "move",
             .work = work(36, 3),
             .steps_of_unit = 9,
             .prepare = [](bool typical) { return call<float>(typical, 0, cuda::pgd_step_v1); }},
            {.version = "scalar",
             .idea = "a block an image, the perturbation in shared memory; 4 bytes an access",
             .file = "pgd/pgd.cu",
             .kernel = "step<true, 1, float>",
             .dynamic_shared = kPerturbation,
             .work = work(20, 1),
             .steps_of_unit = 5,
             .prepare =
                 [](bool typical) { return call<float>(typical, 1, cuda::pgd_step<float>); }},
            {.version = "vector",
             .idea = "16 bytes an access, a thread keeps its colours",
             .file = "pgd/pgd.cu",
             .kernel = "step<true, 4, float>",
             .dynamic_shared = kPerturbation,
             .work = work(20, 1),
             .steps_of_unit = 5,
             .prepare =
                 [](bool typical) { return call<float>(typical, 0, cuda::pgd_step<float>); }},
            {.version = "vector_bf16",
             .idea = "gradient and input in bfloat16, no casts around the step",
             .file = "pgd/pgd.cu",
             .kernel = "step<true, 4, bfloat16>",
             .dynamic_shared = kPerturbation,
             .work = work(16, 1),
             .steps_of_unit = 4,
             .prepare =
                 [](bool typical) { return call<bfloat16>(typical, 0, cuda::pgd_step<bfloat16>); }},
        }};
}

}  // namespace cnpd::bench
