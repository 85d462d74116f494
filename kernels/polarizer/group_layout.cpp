#include "kernels/polarizer/group_layout.h"

#include "kernels/common/error.h"

namespace cnpd::kernels {

void require_groups(const PolarizerSamples& samples) {
    CNPD_CHECK(samples.groups, "polarizer: the samples are not grouped");
}

void require_transposed(const void* transposed) {
    CNPD_CHECK(transposed, "polarizer: gradients of the features need the transposed maps");
}

}  // namespace cnpd::kernels
