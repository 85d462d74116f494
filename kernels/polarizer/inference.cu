// The versions of the polarizer's inference kernel that are in use; each is described in its file
// in versions/.
#include "kernels/polarizer/inference.h"

#include "kernels/common/gpu.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {

void polarizer_inference(const PolarizerShape& shape, const float* z, const std::int32_t* labels,
                         const float* weights, bool accumulate, const float* a, const float* b,
                         float* out) {
    polarizer_v3(shape, z, labels, weights, accumulate, a, b, out);
}

void polarizer_inference_bf16(const PolarizerShape& shape, const bfloat16* z,
                              const std::int32_t* labels, const float* weights, bool accumulate,
                              const bfloat16* a, const float* b, bfloat16* out) {
    // Version 5 would run emulated as well, but the emulator should run the kernel of GPUs without
    // Hopper's instructions.
    static const bool hopper = gpu::properties().compute_major == 9;
    (hopper ? polarizer_v5 : polarizer_v4)(shape, z, labels, weights, accumulate, a, b, out);
}

}  // namespace cnpd::kernels::cuda
