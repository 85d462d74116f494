// Tensors as Hopper's copy engine sees them: boxes that one instruction moves to shared memory.
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

// What a kernel gets, by value, as part of a __grid_constant__ parameter.
#ifdef CNPD_EMULATED
struct TensorMap {
    const bfloat16* data;
    TensorBoxes boxes;
};
#else
using TensorMap = CUtensorMap;
#endif

// Boxes land in shared memory in the 128-byte swizzle (hopper.h); what lies outside of the tensor
// becomes zero. `data` is aligned to 16 bytes. Throws CudaError.
TensorMap tensor_map(const bfloat16* data, const TensorBoxes& boxes);

}  // namespace cnpd::kernels::hopper
