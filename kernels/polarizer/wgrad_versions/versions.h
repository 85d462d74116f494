// The versions of the polarizer's gradient of the maps, from the simplest to the fastest. Each
// version's first comment describes the change and the expected gain; docs/kernels-polarizer.md
// explains all of them. They compute polarizer_wgrad; wgrad.cu selects the version.
#pragma once

#include <span>

#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels::cuda {

// da [classes,C,C] = sum of dout z^T, db [classes,C] (or null) = sum of dout, over the rows of each
// class. parts: into how many parts the rows are cut, 0: as many as fill a GPU. The order of the
// sums depends on the shape, the labels and `parts` alone. Versions 1 to 3 do not cut.
template <typename T>
using PolarizerWgrad = void(const PolarizerShape& shape, const T* z, const T* dout,
                            const PolarizerSamples& samples, float* da, float* db, int parts);

PolarizerWgrad<float> polarizer_wgrad_v1;       // one thread per element of da
PolarizerWgrad<float> polarizer_wgrad_v2;       // tiles in shared memory
PolarizerWgrad<float> polarizer_wgrad_v3;       // tiles in registers, 16 bytes per access
PolarizerWgrad<float> polarizer_wgrad_v4;       // parts of the rows
PolarizerWgrad<float> polarizer_wgrad_v5_tf32;  // tensor cores through wmma
PolarizerWgrad<bfloat16> polarizer_wgrad_v5;
PolarizerWgrad<bfloat16> polarizer_wgrad_v6;  // asynchronous copies, transposing loads
// v6 without the permutation that avoids bank conflicts: for demonstration.
PolarizerWgrad<bfloat16> polarizer_wgrad_v6_linear;

PolarizerWgrad<bfloat16> polarizer_wgrad_v7;  // Hopper: wgmma, bulk tensor copies

// grouped: with labels and more than one class. v7 runs v6 for shapes that it does not support.
bool polarizer_wgrad_v7_supports(const PolarizerShape& shape, bool grouped);

template <typename T>
struct PolarizerWgradVersion {
    const char* name;
    const char* idea;  // what it changes, for the ladder (docs/ladder.md)
    PolarizerWgrad<T>* run;
};

std::span<const PolarizerWgradVersion<float>> polarizer_wgrad_versions();
std::span<const PolarizerWgradVersion<bfloat16>> polarizer_wgrad_versions_bf16();

}  // namespace cnpd::kernels::cuda
