// The choice of the kernel for the gradient of the maps: 2 N P C^2 FLOP over 4 N P C bytes
// (bfloat16; float32 twice as much) and 4 classes C^2.
#include "kernels/common/cuda.h"
#include "kernels/common/tf32.h"
#include "kernels/polarizer/polarizer.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

void sum(const PolarizerShape& shape, const float* z, const float* dout,
         const PolarizerSamples& samples, float* da, float* db) {
    (tf32_allowed() ? polarizer_wgrad_v5_tf32 : polarizer_wgrad_v4)(shape, z, dout, samples, da, db,
                                                                    0);
}

void sum(const PolarizerShape& shape, const bfloat16* z, const bfloat16* dout,
         const PolarizerSamples& samples, float* da, float* db) {
    polarizer_wgrad_v6(shape, z, dout, samples, da, db, 0);
}

}  // namespace

template <typename T>
void polarizer_wgrad(const PolarizerShape& shape, const T* z, const T* dout,
                     const PolarizerSamples& samples, float* da, float* db) {
    sum(shape, z, dout, samples, da, db);
}
CNPD_INSTANTIATE(polarizer_wgrad);

}  // namespace cnpd::kernels::cuda
