// Device and precision of a run.
#pragma once

#include "cnpd/settings/names.h"
#include "engine/device.h"
#include "engine/dtype.h"

namespace cnpd::training {

enum class Precision {
    fp32,
    tf32,  // float32; convolutions and matrix products may use a GPU's tensor cores
    bf16,  // activations and their gradients are bfloat16, all else is float32
};

struct Compute {
    engine::Device device;
    Precision precision = Precision::fp32;

    // The type of a network's activations.
    engine::DType activations() const;
};

// Enables or disables TF32 for the process. Throws InputError for bf16 on the CPU, which has no
// bf16 kernels.
void prepare(const Compute& compute);

}  // namespace cnpd::training

template <>
struct cnpd::settings::Names<cnpd::training::Precision> {
    using Value = training::Precision;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::fp32, "fp32"}, {Value::tf32, "tf32"}, {Value::bf16, "bf16"}};
};
