// The versions of the polarizer's product, from the simplest to the fastest. Each version's first
// comment describes the change and the expected gain. docs/kernels-polarizer.md explains all of
// them. They compute polarizer_forward, and with transposed maps and no bias polarizer_dgrad;
// polarizer.cu selects the version.
#pragma once

#include <span>

#include "kernels/polarizer/polarizer.h"

namespace cnpd::kernels::cuda {

// out = A[label] z + b[label]. maps.b may be null: nothing is added.
template <typename T>
using PolarizerProduct = void(const PolarizerShape& shape, const T* z,
                              const PolarizerSamples& samples, const PolarizerMaps<T>& maps,
                              T* out);

PolarizerProduct<float> polarizer_v1;  // one thread per output
PolarizerProduct<float> polarizer_v2;  // tiles in shared memory
PolarizerProduct<float> polarizer_v3;  // tiles in registers, 16 bytes per access
PolarizerProduct<bfloat16> polarizer_v3_bf16;
PolarizerProduct<bfloat16> polarizer_v4;    // tensor cores through wmma
PolarizerProduct<float> polarizer_v4_tf32;  // the same with factors rounded to TF32
PolarizerProduct<bfloat16> polarizer_v5;    // copies straight to shared memory
PolarizerProduct<bfloat16> polarizer_v6;    // ldmatrix and mma.sync, permuted lines
// For Hopper; they run v6 where the device, the build or the shape is not supported.
PolarizerProduct<bfloat16> polarizer_v7;  // copy engine, barriers in shared memory
PolarizerProduct<bfloat16> polarizer_v8;  // wgmma
PolarizerProduct<bfloat16> polarizer_v9;  // persistent blocks, specialised warps
PolarizerProduct<bfloat16>
    polarizer_v10;  // clusters of two; v9 if there is an odd piece of the map

bool polarizer_v7_supports(const PolarizerShape& shape, bool grouped);
bool polarizer_v8_supports(const PolarizerShape& shape, bool grouped);
bool polarizer_v9_supports(const PolarizerShape& shape, bool grouped);
bool polarizer_v10_supports(const PolarizerShape& shape, bool grouped);

// v2 without the padding that avoids bank conflicts: for demonstration.
PolarizerProduct<float> polarizer_v2_unpadded;

template <typename T>
struct PolarizerVersion {
    const char* name;
    const char* idea;  // what it changes, for the ladder (docs/ladder.md)
    PolarizerProduct<T>* run;
    // Whether this device and build support such a shape; `grouped`: with labels and more than one
    // class. Versions run an earlier one for shapes that they do not support.
    bool (*supports)(const PolarizerShape& shape, bool grouped);
};

std::span<const PolarizerVersion<float>> polarizer_versions();
std::span<const PolarizerVersion<bfloat16>> polarizer_versions_bf16();

}  // namespace cnpd::kernels::cuda
