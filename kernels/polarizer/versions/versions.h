// The versions of the polarizer's inference kernel, from the simplest to the fastest. Each version
// is complete; its first comment describes the change and the expected gain.
// docs/kernels-polarizer.md explains all of them. They fulfil the contract of inference.h for every
// shape that they support. inference.cu selects the version for polarizer_inference.
#pragma once

#include <span>

#include "kernels/polarizer/inference.h"

namespace cnpd::kernels::cuda {

PolarizerInference<float> polarizer_v1;  // one thread per output
PolarizerInference<float> polarizer_v2;  // tiles in shared memory
PolarizerInference<float> polarizer_v3;  // tiles in registers, 16 bytes per access
PolarizerInference<bfloat16> polarizer_v3_bf16;
PolarizerInference<bfloat16> polarizer_v4;  // tensor cores through wmma
PolarizerInference<bfloat16> polarizer_v5;  // Hopper: wgmma, bulk tensor copies; persistent

bool polarizer_v5_supports(const PolarizerShape& shape, bool grouped);

// v2 without the padding that avoids bank conflicts: for demonstration.
PolarizerInference<float> polarizer_v2_unpadded;

template <typename T>
struct PolarizerVersion {
    const char* name;
    PolarizerInference<T>* run;
    // Whether this device and build support such a shape; `grouped`: with labels and more than one
    // class. It throws for shapes that it does not support (v5 runs v4 instead).
    //
    bool (*supports)(const PolarizerShape& shape, bool grouped);
};

std::span<const PolarizerVersion<float>> polarizer_versions();
std::span<const PolarizerVersion<bfloat16>> polarizer_versions_bf16();

}  // namespace cnpd::kernels::cuda
