// The tile for products of activations of one type: tensor cores for bfloat16, and for float32 if
// TF32 is allowed; else the arithmetic units. For .cu files.
#pragma once

#include "kernels/common/tf32.h"
#include "kernels/polarizer/float_tile.h"
#include "kernels/polarizer/tensor_tile.h"

namespace cnpd::kernels::cuda {

// Names of the launches, which tell the tile.
struct ProductNames {
    const char *fp32, *tf32, *bf16;
};

// Calls run.operator()<Tile>(name).
template <typename T, bool KOuter, typename Run>
void with_tile(const ProductNames& names, const Run& run) {
    if constexpr (sizeof(T) == sizeof(bfloat16))
        run.template operator()<TensorTile<Bf16, KOuter>>(names.bf16);
    else if (tf32_allowed())
        run.template operator()<TensorTile<Tf32, KOuter>>(names.tf32);
    else
        run.template operator()<FloatTile>(names.fp32);
}

}  // namespace cnpd::kernels::cuda
