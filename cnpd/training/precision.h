// What a run computes with.
#pragma once

#include "cnpd/settings/names.h"
#include "engine/device.h"
#include "engine/dtype.h"

namespace cnpd::training {

enum class Precision {
    fp32,
    tf32,  // float32, whose convolutions and matrix products may use a GPU's tensor cores
    bf16,  // activations and their gradients are bfloat16, all else is float32
};

struct Compute {
    engine::Device device;
    Precision precision = Precision::fp32;

    // Of what a network computes.
    engine::DType activations() const;
};

// Makes the process ready for it: allows or forbids TF32. Throws InputError for bf16 on the CPU,
// which has no kernels for it.
void prepare(const Compute& compute);

}  // namespace cnpd::training

template <>
struct cnpd::settings::Names<cnpd::training::Precision> {
    using Value = training::Precision;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::fp32, "fp32"}, {Value::tf32, "tf32"}, {Value::bf16, "bf16"}};
};
