// Device memory with an owner, out of a caching allocator: buffers that are given back are kept and
// handed out again, because a training step asks for the same sizes over and over.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/device.h"

namespace cnpd::engine {

// Uninitialised memory on a device, aligned to 64 bytes; goes back to the allocator with its last
// owner.
class Storage {
  public:
    Storage(std::size_t bytes, Device device);
    ~Storage();
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;

    std::byte* data() { return data_; }
    std::size_t bytes() const { return bytes_; }
    Device device() const { return device_; }

  private:
    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0, capacity_ = 0;
    Device device_;
};

struct MemoryStatistics {
    std::size_t in_use = 0;    // bytes in live storages
    std::size_t peak = 0;      // the most that were in use at once
    std::size_t reserved = 0;  // bytes held from the system: in use and cached
};
MemoryStatistics memory_statistics(Device device);
// Gives the cached, unused buffers back to the system.
void empty_cache(Device device);

// The most physical memory that this process has held so far, in bytes.
std::size_t peak_resident_bytes();

}  // namespace cnpd::engine
