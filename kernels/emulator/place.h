// Places in the shared memory of a cluster's blocks.
#pragma once

#include <cstddef>

#include "kernels/emulator/state.h"
#include "kernels/emulator/warp.h"

namespace cnpd::kernels::emulator {

// A place in shared memory, the same in all blocks of a cluster.
class Place {
  public:
    // An address in the running block.
    explicit Place(const void* address)
        : static_(static_cast<std::byte*>(const_cast<void*>(address))),
          offset_(static_cast<std::size_t>(static_ - running.block->dynamic_shared)),
          dynamic_(offset_ < running.launch->dynamic_shared) {}
    bool is_dynamic() const { return dynamic_; }
    // In the block that is the running one now.
    template <typename T>
    T& here() const {
        return *reinterpret_cast<T*>(dynamic_ ? running.block->dynamic_shared + offset_ : static_);
    }

  private:
    std::byte* static_;
    std::size_t offset_;
    bool dynamic_;
};

// Does something in the block of this rank in the running block's cluster.
template <typename Action>
void in_block_of_rank(unsigned rank_in_cluster, const Action& action) {
    BlockState* const block = block_of_rank(rank_in_cluster);
    if (!block)
        return report(
            "accesses the shared memory of a block of the cluster that has ended or does not "
            "exist");
    const InBlock there(*block);
    action();
}

}  // namespace cnpd::kernels::emulator
