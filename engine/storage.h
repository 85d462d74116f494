// Device memory with an owner, from a pool: released buffers are kept and reused, because every
// training step needs the same sizes.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/device.h"

namespace cnpd::engine {

// Reusable buffers of one device. Each device has a shared pool; a graph has its own, because its
// memory must not be written by others between two replays.
class MemoryPool;
std::shared_ptr<MemoryPool> make_memory_pool(Device device);

// During its lifetime, this thread's new storages on the pool's device are allocated from it. They
// keep the pool alive.
class MemoryPoolScope {
  public:
    explicit MemoryPoolScope(std::shared_ptr<MemoryPool> pool);
    ~MemoryPoolScope();
    MemoryPoolScope(const MemoryPoolScope&) = delete;
    MemoryPoolScope& operator=(const MemoryPoolScope&) = delete;

  private:
    std::shared_ptr<MemoryPool> before_;
};

// Uninitialised memory on a device, aligned to 64 bytes; returned to its pool when its last owner
// is destroyed. Throws std::bad_alloc. While a graph is captured, no memory is returned to the
// system to make room.
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
// Returns the unused buffers of the shared pool to the system.
void empty_cache(Device device);

// The peak physical memory of this process, in bytes.
std::size_t peak_resident_bytes();

}  // namespace cnpd::engine
