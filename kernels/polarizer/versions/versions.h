// The ladder of the polarizer's inference kernel, from the plainest to the fastest. Each version is
// complete and names at its top its change and the expected gain; docs/kernels-polarizer.md
// tells the story in one piece. All keep the contract of inference.h on every shape that they
// support. Which of them polarizer_inference runs, inference.cu decides.
#pragma once

#include <span>

#include "kernels/polarizer/inference.h"

namespace cnpd::kernels::cuda {

PolarizerInference<float> polarizer_v1;  // a thread an output
PolarizerInference<float> polarizer_v2;  // tiles in shared memory
PolarizerInference<float> polarizer_v3;  // tiles in registers, 16 bytes an access
PolarizerInference<bfloat16> polarizer_v3_bf16;
PolarizerInference<bfloat16> polarizer_v4;  // tensor cores through wmma
PolarizerInference<bfloat16> polarizer_v5;  // Hopper: wgmma, bulk tensor copies; persistent

bool polarizer_v5_supports(const PolarizerShape& shape, bool grouped);

// v2 without the column that keeps its shared-memory accesses in different banks: for the lesson.
PolarizerInference<float> polarizer_v2_unpadded;

template <typename T>
struct PolarizerVersion {
    const char* name;
    PolarizerInference<T>* run;
    // Whether this device and build can run it on such a shape; `grouped`: with labels and more
    // than one class. It throws for shapes that it does not support (v5 runs v4 instead).
    bool (*supports)(const PolarizerShape& shape, bool grouped);
};

std::span<const PolarizerVersion<float>> polarizer_versions();
std::span<const PolarizerVersion<bfloat16>> polarizer_versions_bf16();

}  // namespace cnpd::kernels::cuda
