// Device memory with an owner, out of a pool: buffers that are given back are kept and handed out
// again, because a training step asks for the same sizes over and over.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/device.h"

namespace cnpd::engine {

// Buffers of one device that are handed out again. Each device has one that all share; a graph has
// one of its own, since no one else may write its memory between two replays.
class MemoryPool;
std::shared_ptr<MemoryPool> make_memory_pool(Device device);

// While it lives, this thread's new storages on the pool's device come out of it. They keep the
// pool alive.
class MemoryPoolScope {
  public:
    explicit MemoryPoolScope(std::shared_ptr<MemoryPool> pool);
    ~MemoryPoolScope();
    MemoryPoolScope(const MemoryPoolScope&) = delete;
    MemoryPoolScope& operator=(const MemoryPoolScope&) = delete;

  private:
    std::shared_ptr<MemoryPool> before_;
};

// Uninitialised memory on a device, aligned to 64 bytes; goes back to its pool with its last owner.
// Throws std::bad_alloc. While a graph is captured, nothing is given back to the system to make
// room.
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
    std::shared_ptr<MemoryPool> pool_;
};

// Of all pools of a device.
struct MemoryStatistics {
    std::size_t in_use = 0;    // bytes in live storages
    std::size_t peak = 0;      // the most that were in use at once
    std::size_t reserved = 0;  // bytes held from the system: in use and cached
};
MemoryStatistics memory_statistics(Device device);
// Gives the unused buffers of the shared pool back to the system.
void empty_cache(Device device);

// The most physical memory that this process has held so far, in bytes.
std::size_t peak_resident_bytes();

}  // namespace cnpd::engine
