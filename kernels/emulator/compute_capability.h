// For tests: which GPU is emulated. Kernels of every architecture run on all of them; what changes
// is gpu::properties(), by which operations choose their kernels.
#pragma once

#include "kernels/common/gpu.h"

namespace cnpd::kernels::emulator {

// During the object's lifetime this host thread's GPU has this compute capability, and the shared
// memory of a block that belongs to it. Without it the capability is 8.0, and a block has only what
// the smallest of the supported GPUs have.
class ComputeCapability {
  public:
    ComputeCapability(int major, int minor);
    ~ComputeCapability();
    ComputeCapability(const ComputeCapability&) = delete;
    ComputeCapability& operator=(const ComputeCapability&) = delete;

  private:
    gpu::Properties before_;
};

}  // namespace cnpd::kernels::emulator
