#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {

std::span<const PolarizerWgradVersion<float>> polarizer_wgrad_versions() {
    static constexpr PolarizerWgradVersion<float> kVersions[] = {
        {"v1", "a thread an element of da, both operands from memory", polarizer_wgrad_v1},
        {"v2", "tiles in shared memory", polarizer_wgrad_v2},
        {"v3", "8x8 elements of a thread in registers, 16 bytes an access", polarizer_wgrad_v3},
        {"v4", "v3 with the rows cut into parts, whose sums a second kernel adds",
         polarizer_wgrad_v4},
        {"v5_tf32", "v5 with factors rounded to TF32", polarizer_wgrad_v5_tf32},
    };
    return kVersions;
}

std::span<const PolarizerWgradVersion<bfloat16>> polarizer_wgrad_versions_bf16() {
    static constexpr PolarizerWgradVersion<bfloat16> kVersions[] = {
        {"v5", "tensor cores through wmma", polarizer_wgrad_v5},
        {"v6", "cp.async, ldmatrix.trans, mma.sync: 256x128 tiles, no registers in between",
         polarizer_wgrad_v6},
        {"v6_linear", "v6 without the permutation of shared memory", polarizer_wgrad_v6_linear},
        {"v7", "Hopper: wgmma on transposed operands, bulk copies in clusters", polarizer_wgrad_v7},
    };
    return kVersions;
}

}  // namespace cnpd::kernels::cuda
