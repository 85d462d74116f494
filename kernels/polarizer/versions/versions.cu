#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

bool always(const PolarizerShape&, bool) {
    return true;
}

}  // namespace

std::span<const PolarizerVersion<float>> polarizer_versions() {
    static constexpr PolarizerVersion<float> kVersions[] = {
        {"v1", "a thread an output, both operands from memory", polarizer_v1, always},
        {"v2", "tiles in shared memory, padded against bank conflicts", polarizer_v2, always},
        {"v2_unpadded", "v2 without the padding", polarizer_v2_unpadded, always},
        {"v3", "8x8 outputs of a thread in registers, 16 bytes an access", polarizer_v3, always},
        {"v4_tf32", "v4 with factors rounded to TF32", polarizer_v4_tf32, always},
    };
    return kVersions;
}

std::span<const PolarizerVersion<bfloat16>> polarizer_versions_bf16() {
    static constexpr PolarizerVersion<bfloat16> kVersions[] = {
        {"v3_bf16", "v3 on bfloat16, widened on the way to shared memory", polarizer_v3_bf16,
         always},
        {"v4", "tensor cores through wmma, fused epilogue", polarizer_v4, always},
        {"v5", "cp.async: copies straight to shared memory, three pieces ahead", polarizer_v5,
         always},
        {"v6", "ldmatrix and mma.sync on permuted lines, stores from registers", polarizer_v6,
         always},
        {"v7", "copy engine and barriers in shared memory in place of cp.async", polarizer_v7,
         polarizer_v7_supports},
        {"v8", "wgmma: products from shared memory", polarizer_v8, polarizer_v8_supports},
        {"v9", "persistent blocks keep the map, a warp copies, two warpgroups multiply",
         polarizer_v9, polarizer_v9_supports},
        {"v10", "clusters of two blocks share what they copy", polarizer_v10,
         polarizer_v10_supports},
    };
    return kVersions;
}

}  // namespace cnpd::kernels::cuda
