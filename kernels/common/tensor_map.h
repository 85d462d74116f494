// Descriptions of tensors for Hopper's copy engine, which moves a box to shared memory with one
// instruction.
#pragma once

#include <cstdint>

#include "kernels/common/bfloat16.h"

#ifndef CNPD_EMULATED
#include <cuda.h>
#endif

namespace cnpd::kernels::hopper {

// A tensor of bfloat16 in memory, innermost dimension first, and the box of it that one copy moves.
// stride[i]: bytes from an element to the next of dimension i + 1, multiples of 16. box[0] is 64
// elements, one line of 128 bytes.
struct TensorBoxes {
    int rank = 0;
    std::uint64_t size[5] = {}, stride[4] = {};
    std::uint32_t box[5] = {};
};

// Passed to a kernel by value, as part of a __grid_constant__ parameter.
#ifdef CNPD_EMULATED
struct TensorMap {
    const bfloat16* data;
    TensorBoxes boxes;
};
#else
using TensorMap = CUtensorMap;
#endif

// Boxes are stored in shared memory with the 128-byte swizzle (hopper.h); elements outside of the
// tensor become zero. `data` is aligned to 16 bytes. Throws CudaError.
TensorMap tensor_map(const bfloat16* data, const TensorBoxes& boxes);

}  // namespace cnpd::kernels::hopper
