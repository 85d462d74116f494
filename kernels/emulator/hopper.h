// Hopper's asynchronous instructions with the names of kernels/common/hopper.h. Copies and products
// are carried out at a random moment between their start and the wait that guarantees them. What a
// thread may access is checked with the order that barriers create (hopper_state.h), so most
// missing waits and fences are found for any seed.
#pragma once

#include <cstdint>
#include <source_location>

#include "kernels/common/tensor_map.h"

namespace cnpd::kernels::hopper {

struct Barrier {
    std::int32_t arrivals, missing;  // expected in a phase, and still missing in the current one
    std::int32_t bytes;              // expected and not yet written
    std::uint32_t phase;             // parity
};

void init(Barrier& barrier, unsigned arrivals);
void publish_barriers();
void arrive(Barrier& barrier);
void arrive_at(Barrier& barrier, unsigned block_of_cluster);
void arrive_expecting(Barrier& barrier, unsigned bytes);
void wait(Barrier& barrier, unsigned parity);

unsigned block_of_cluster();
void cluster_barrier(std::source_location here = std::source_location::current());

// Relative to the first multiple of 1024 bytes at or before the block's dynamic shared memory.
std::uint32_t shared_address(const void* address);

void copy_box(const TensorMap& map, int x, int y, int z, void* to, Barrier& barrier);
void copy_box(const TensorMap& map, int x, int y, int z, int w, void* to, Barrier& barrier);
void copy_box_to(unsigned blocks, const TensorMap& map, int x, int y, int z, void* to,
                 Barrier& barrier);
inline void prefetch(const TensorMap&) {}

void fence_proxy_async();
void begin_products();
void commit_products();
void wait_for_products_but(int pending);
template <int Pending>
void wait_for_products() {
    wait_for_products_but(Pending);
}
template <int Count>
void use_after_wait(float (&)[Count]) {}
void multiply(float (&sum)[64], std::uint64_t a, std::uint64_t b, bool add);
void multiply_transposed(float (&sum)[64], std::uint64_t a, std::uint64_t b, bool add);

inline void converge() {}
template <int Count>
void give_registers() {}
template <int Count>
void take_registers() {}

}  // namespace cnpd::kernels::hopper
