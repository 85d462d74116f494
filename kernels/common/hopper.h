// Hopper's asynchronous instructions, one function for each: barriers in shared memory that count
// arrivals and bytes, copies of boxes of a tensor that complete on them, and matrix products of a
// warpgroup (128 threads) that read both operands from shared memory. Source: PTX ISA, chapters on
// mbarrier, cp.async.bulk.tensor and wgmma. Available if __CUDA_ARCH_FEAT_SM90_ALL is defined
// (sm_90a); the emulator has the same functions.
#pragma once

#include <cstdint>

#include "kernels/common/cuda.h"
#include "kernels/common/tensor_map.h"
#ifdef CNPD_EMULATED
#include "kernels/emulator/hopper.h"
#endif

#if defined(CNPD_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define CNPD_HOPPER 1
#endif

namespace cnpd::kernels::hopper {

#ifndef CNPD_EMULATED

struct Barrier {
    std::uint64_t word;
};

#endif

// --- Layout --------------------------------------------------------------------------------------

// An operand of wgmma is stored in shared memory as lines of 64 k (128 bytes), line after line,
// aligned to 1024 bytes. The eight 16-byte pieces of a line are permuted by its number modulo 8, so
// that the same piece of 8 lines is in different banks. The permutation is a function of the
// address alone: bits 4 to 6 are exclusive-ored with bits 7 to 9. Copies and wgmma both apply it,
// so the next 16 k are simply 32 bytes further.
CNPD_HOST_DEVICE constexpr std::uint32_t swizzled(std::uint32_t address) {
    return address ^ (address >> 7 & 7) << 4;
}

// wgmma's 64-bit descriptor of such an operand that begins at this shared address:
//     bits  0-13  address / 16
//     bits 16-29  stride between pieces along k: not used with a swizzle, 1
//     bits 32-45  stride between groups of 8 lines / 16: 1024 bytes
//     bits 49-51  0: groups begin at multiples of 1024 bytes
//     bits 62-63  1: 128-byte swizzle
CNPD_HOST_DEVICE constexpr std::uint64_t operand(std::uint32_t shared_address) {
    return (shared_address >> 4 & 0x3FFF) | std::uint64_t{1} << 16 |
           std::uint64_t{1024 >> 4} << 32 | std::uint64_t{1} << 62;
}

// The other layout of an operand, for products whose k is the slow dimension in memory
// ("MN-major"): lines of 64 m (or n), 128 bytes, one for each k. 8 k are 1024 bytes, again with the
// pieces of a line permuted by its number modulo 8. In the descriptor
//     bits 16-29  stride from 64 m to the next 64 / 16
//     bits 32-45  stride from 8 k to the next 8 / 16: 1024 bytes, if all k are one after the other
// and the other bits are as above. The next 16 k are 2048 bytes further. Source: PTX ISA, canonical
// layouts of wgmma; CUTLASS, make_gmma_desc<Major::MN>: ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO)).
CNPD_HOST_DEVICE constexpr std::uint64_t transposed_operand(std::uint32_t shared_address,
                                                            std::uint32_t next_64,
                                                            std::uint32_t next_8_k = 1024) {
    return (shared_address >> 4 & 0x3FFF) | std::uint64_t{next_64 >> 4} << 16 |
           std::uint64_t{next_8_k >> 4} << 32 | std::uint64_t{1} << 62;
}

#ifndef CNPD_EMULATED

__device__ __forceinline__ std::uint32_t shared_address(const void* address) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(address));
}

// --- Barriers ------------------------------------------------------------------------------------
// A phase ends when all arrivals and all expected bytes have arrived. Phases are identified by
// parity: the first has 0. A waiting thread may be at most one phase behind.

__device__ __forceinline__ void init(Barrier& barrier, unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
                 "r"(arrivals)
                 : "memory");
}
// After init, before other threads use the barriers: makes them visible to the copy engine and
// other blocks.
__device__ __forceinline__ void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(Barrier& barrier) {
    asm volatile(
        "mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier))
        : "memory");
}
// At the same barrier of another block of the cluster, after this thread's reads of shared memory
// that the other block will overwrite have completed: after wait_for_products(), or the use of
// loaded values. It publishes no writes to the other block. That would need .release.cluster, which
// compiles to MEMBAR.ALL.GPU, a wait for all earlier accesses to global memory too. Reads that have
// completed cannot see what the other block's copy writes later, so that the arrival needs no order
// beyond this block's. (.relaxed.cluster, which is the same instruction, needs CUDA 12.8.)
__device__ __forceinline__ void arrive_at(Barrier& barrier, unsigned block_of_cluster) {
    asm volatile(
        "{\n"
        ".reg .b32 remote;\n"
        "mapa.shared::cluster.u32 remote, %0, %1;\n"
        "mbarrier.arrive.release.cta.shared::cluster.b64 _, [remote];\n"
        "}" ::"r"(shared_address(&barrier)),
        "r"(block_of_cluster)
        : "memory");
}
// Arrives and announces how many bytes copies will write in this phase.
__device__ __forceinline__ void arrive_expecting(Barrier& barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                     shared_address(&barrier)),
                 "r"(bytes)
                 : "memory");
}
// Waits until the phase of this parity has ended. (On a new barrier, parity 1 counts as ended.)
__device__ __forceinline__ void wait(Barrier& barrier, unsigned parity) {
    asm volatile(
        "{\n"
        ".reg .pred over;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
        "@over bra done;\n"
        "bra again;\n"
        "done:\n"
        "}" ::"r"(shared_address(&barrier)),
        "r"(parity)
        : "memory");
}

// --- Clusters ------------------------------------------------------------------------------------

__device__ __forceinline__ unsigned block_of_cluster() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
// All threads of all blocks of the cluster.
__device__ __forceinline__ void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

// --- Copies --------------------------------------------------------------------------------------
// Copies the box that begins at these coordinates (innermost first) to shared memory; completes on
// the barrier. With `blocks`, a bit for each block of the cluster, it is written to the same place
// in each of these blocks and completes on the same barrier in each.

__device__ __forceinline__ void copy_box(const TensorMap& map, int x, int y, int z, void* to,
                                         Barrier& barrier) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(&barrier)), "r"(x), "r"(y), "r"(z)
        : "memory");
}
__device__ __forceinline__ void copy_box(const TensorMap& map, int x, int y, int z, int w, void* to,
                                         Barrier& barrier) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(&barrier)), "r"(x), "r"(y), "r"(z), "r"(w)
        : "memory");
}
__device__ __forceinline__ void copy_box_to(unsigned blocks, const TensorMap& map, int x, int y,
                                            int z, void* to, Barrier& barrier) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%4, %5, %6}], [%2], %3;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(&barrier)), "h"(static_cast<std::uint16_t>(blocks)), "r"(x),
        "r"(y), "r"(z)
        : "memory");
}
__device__ __forceinline__ void prefetch(const TensorMap& map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// --- Products of a warpgroup ---------------------------------------------------------------------

// Copies and products access shared memory in the "async proxy". What a thread has stored itself
// they see only if it calls this after its stores and before the barrier.
__device__ __forceinline__ void fence_proxy_async() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Before the first product that uses registers written by other instructions.
__device__ __forceinline__ void begin_products() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
// The products since the last call become one group.
__device__ __forceinline__ void commit_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Waits until all but the newest `Pending` groups have finished.
template <int Pending>
__device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}
// Prevents the compiler from moving reads of the sums before the preceding wait.
template <int Count>
__device__ __forceinline__ void use_after_wait(float (&sum)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) asm volatile("" : "+f"(sum[i])::"memory");
}

// Transposed: 1 if both operands are MN-major, else 0.
template <int Transposed>
__device__ __forceinline__ void multiply_as(float (&sum)[64], std::uint64_t a, std::uint64_t b,
                                            bool add) {
#define CNPD_SUMS(i)                                                                      \
    "+f"(sum[i]), "+f"(sum[i + 1]), "+f"(sum[i + 2]), "+f"(sum[i + 3]), "+f"(sum[i + 4]), \
        "+f"(sum[i + 5]), "+f"(sum[i + 6]), "+f"(sum[i + 7])
    asm volatile(
        "{\n"
        ".reg .pred add;\n"
        "setp.ne.b32 add, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, add, 1, 1, %67, %67;\n"  // neither operand negated
        "}"
        : CNPD_SUMS(0), CNPD_SUMS(8), CNPD_SUMS(16), CNPD_SUMS(24), CNPD_SUMS(32), CNPD_SUMS(40),
          CNPD_SUMS(48), CNPD_SUMS(56)
        : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(Transposed));
#undef CNPD_SUMS
}

// sum [64,128] = a [64,16] b [128,16]^T (+ sum), bfloat16 in, float32 out. Lane l of warp w of the
// group holds rows 16 w + l / 4 + 8 h and columns 8 j + 2 (l % 4) + e, at sum[4 j + 2 h + e].
__device__ __forceinline__ void multiply(float (&sum)[64], std::uint64_t a, std::uint64_t b,
                                         bool add) {
    multiply_as<0>(sum, a, b, add);
}
// The same, with both operands transposed_operand().
__device__ __forceinline__ void multiply_transposed(float (&sum)[64], std::uint64_t a,
                                                    std::uint64_t b, bool add) {
    multiply_as<1>(sum, a, b, add);
}

// Reconverges a warp's lanes: they must execute instructions marked .aligned together.
__device__ __forceinline__ void converge() {
    asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");
}

// --- Registers -----------------------------------------------------------------------------------

// Changes a warpgroup's number of registers; all its warps must call it.
template <int Count>
__device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

#endif

}  // namespace cnpd::kernels::hopper
