#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

bool always(const PolarizerShape&, bool) {
    return true;
}

}  // namespace

std::span<const PolarizerVersion<float>> polarizer_versions() {
    static constexpr PolarizerVersion<float> kVersions[] = {
        {"v1", polarizer_v1, always},
        {"v2", polarizer_v2, always},
        {"v2_unpadded", polarizer_v2_unpadded, always},
        {"v3", polarizer_v3, always},
        {"v4_tf32", polarizer_v4_tf32, always},
    };
    return kVersions;
}

std::span<const PolarizerVersion<bfloat16>> polarizer_versions_bf16() {
    static constexpr PolarizerVersion<bfloat16> kVersions[] = {
        {"v3_bf16", polarizer_v3_bf16, always},
        {"v4", polarizer_v4, always},
        {"v5", polarizer_v5, polarizer_v5_supports},
    };
    return kVersions;
}

}  // namespace cnpd::kernels::cuda
