// Ladders of kernel versions: each rung is one version of an operation with its idea. On the
// emulated GPU a small run is traced. Its counts, scaled to a typical size, and the committed table
// of machine code are the work that the model (bench/model/model.h) turns into a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/model/model.h"

namespace cnpd::bench {

// A call of a version, whose buffers belong to the function.
struct Call {
    std::function<void()> launch;
    double units = 0;  // of work, see Ladder::unit
};

struct Rung {
    std::string version, idea;
    // The row of tests/cuda/machine_code.csv with the main loop: file and kernel.
    std::string file, kernel;
    double dynamic_shared = 0;  // bytes of a block, at the typical size
    // At the typical size: bytes, FLOPs, launches, and bytes of shared memory that the emulator
    // does not count, those of Hopper's copies and products.
    Work work{};
    // wmma: the hardware's accesses to fragments are not specified, and the emulator's are others.
    // Those of `work` count instead.
    bool fragments = false;
    // A thread's steps for a unit in the main loop: 1 multiply-add, or words of 4 bytes of device
    // memory.
    double steps_of_unit = 1;
    std::function<Call(bool typical)> prepare;  // of the typical size, or of a small one to trace
};

struct Ladder {
    std::string operation;
    std::string size;  // the typical size
    std::string unit;  // of work: "multiply-add" or "element"
    double units = 0;  // at the typical size
    std::vector<Rung> rungs{};
};

Ladder polarizer_ladder();
Ladder polarizer_wgrad_ladder();
Ladder convolution_ladder();
Ladder batch_norm_ladder();
Ladder pgd_ladder();

}  // namespace cnpd::bench
