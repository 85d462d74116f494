// A lower bound of a kernel's time on a GPU: its work divided by the GPU's rates. The largest
// quotient is the limit. Latencies, and caches that still hold the operands, are not part of it, so
// that a kernel of a few microseconds takes longer or, with its operands in the L2 cache, less.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cnpd::bench {

// Rates per second.
struct Gpu {
    std::string_view name;
    double multiprocessors;
    double memory;      // bytes of device memory by a copy, read plus written
    double l2;          // bytes of the L2 cache
    double l1;          // bytes of shared memory and L1 caches, of all multiprocessors
    double fp32, fp64;  // FLOP outside of the tensor cores; a multiply-add is two
    double tf32_tensor, bf16_tensor;  // FLOP of the tensor cores, as reached by matrix products
    double instructions;              // issued, of a warp each
    double launch;                    // seconds of each launch, in a graph
};
// H100 (SXM) and H200. docs/kernels.md names the sources of the rates.
std::span<const Gpu> modelled_gpus();

// What a call of an operation does at least, or what one kernel really does.
struct Work {
    double bytes = 0;     // to and from device memory
    double l2_bytes = 0;  // to and from the L2 cache; 0: no more than `bytes`
    double l1_bytes = 0;  // of shared memory, 128 a wavefront, and of the L1 cache, 32 a sector
    double fp32 = 0, fp64 = 0, tf32_tensor = 0, bf16_tensor = 0;  // FLOP by type and unit
    double instructions = 0;                                      // of warps; 0: negligible
    int launches = 1;
    // Equal blocks of the kernel with most of the work; 0: enough to share it evenly. What a
    // multiprocessor does itself (all but `bytes` and `l2_bytes`) takes as long as on the one with
    // the most blocks.
    double blocks = 0;
};

struct Prediction {
    double seconds;          // of the limit, plus the launches
    std::string_view limit;  // "memory", "L2", "L1 and shared memory", "float32", "float64",
                             // "TF32 tensor cores", "bfloat16 tensor cores", "instructions";
                             // "launch" if that takes longer than the others
    // What the second limit alone would allow, without the launches. A version that removes only
    // this one is not faster, but the next version may be.
    double next_seconds;
    std::string_view next;
};
Prediction predict(const Gpu& gpu, const Work& work);

// Two digits, from nanoseconds to seconds: "2.6 us", "0.57 ms", "12 ms".
std::string duration(double seconds);

}  // namespace cnpd::bench
