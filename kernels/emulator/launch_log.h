// For tests and benchmarks: which kernels ran. Unlike a trace (trace.h) it costs nothing.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/emulator/block.h"

namespace cnpd::kernels::emulator {

// The launches of this host thread during the object's lifetime, in order; those of a graph when it
// is replayed.
class LaunchLog {
  public:
    struct Entry {
        std::string name;  // of the operation
        std::size_t blocks = 0;
    };

    LaunchLog();
    ~LaunchLog();
    LaunchLog(const LaunchLog&) = delete;
    LaunchLog& operator=(const LaunchLog&) = delete;

    const std::vector<Entry>& entries() const { return entries_; }

    // Called for every launch.
    static void note(const Launch& launch);

  private:
    LaunchLog* before_;  // an outer log does not get an inner one's launches
    std::vector<Entry> entries_;
};

}  // namespace cnpd::kernels::emulator
