#include "cnpd/training/precision.h"

#include "kernels/common/error.h"
#include "kernels/common/tf32.h"

namespace cnpd::training {

engine::DType Compute::activations() const {
    return precision == Precision::bf16 ? engine::DType::bfloat16 : engine::DType::float32;
}

void prepare(const Compute& compute) {
    if (compute.precision == Precision::bf16 && compute.device.backend == engine::Backend::cpu)
        throw InputError("bf16 needs a GPU or the emulated device; use fp32 on the CPU");
    kernels::allow_tf32(compute.precision == Precision::tf32);
}

}  // namespace cnpd::training
