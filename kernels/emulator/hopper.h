// Hopper's asynchronous instructions by the names of kernels/common/hopper.h, for a block alone
// (no clusters). Copies and products happen at once, so this checks what is computed and whom
// all threads wait for, but not a fence or a wait for products that is missing. Shared memory that
// only these instructions touch is not checked for races.
#pragma once

#include <cstdint>

#include "kernels/common/tensor_map.h"

namespace cnpd::kernels::hopper {

struct Barrier {
    std::int32_t arrivals, missing;  // of a phase, and what the current one still lacks
    std::int32_t bytes;              // expected and not yet written
    std::uint32_t phase;             // parity
};

void init(Barrier& barrier, unsigned arrivals);
inline void publish_barriers() {}
void arrive(Barrier& barrier);
void arrive_at(Barrier& barrier, unsigned block_of_cluster);
void arrive_expecting(Barrier& barrier, unsigned bytes);
void wait(Barrier& barrier, unsigned parity);

inline unsigned block_of_cluster() {
    return 0;
}
void cluster_barrier();

// Relative to the 1024 bytes in which the block's dynamic shared memory begins.
std::uint32_t shared_address(const void* address);

void copy_box(const TensorMap& map, int x, int y, int z, void* to, Barrier& barrier);
void copy_box(const TensorMap& map, int x, int y, int z, int w, void* to, Barrier& barrier);
void copy_box_to(unsigned blocks, const TensorMap& map, int x, int y, int z, void* to,
                 Barrier& barrier);
inline void prefetch(const TensorMap&) {}

inline void begin_products() {}
inline void commit_products() {}
template <int Pending>
void wait_for_products() {}
template <int Count>
void use_after_wait(float (&)[Count]) {}
void multiply(float (&sum)[64], std::uint64_t a, std::uint64_t b, bool add);

inline void converge() {}
template <int Count>
void give_registers() {}
template <int Count>
void take_registers() {}

}  // namespace cnpd::kernels::hopper
