#include "kernels/common/tf32.h"

#include <atomic>

namespace cnpd::kernels {
namespace {
std::atomic<bool> allowed_now{false};
}  // namespace

void allow_tf32(bool allowed) {
    allowed_now = allowed;
}

bool tf32_allowed() {
    return allowed_now;
}

}  // namespace cnpd::kernels
