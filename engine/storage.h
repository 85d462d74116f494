// Device memory with an owner, from a pool: released buffers are kept and reused, because every
// training step needs the same sizes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "engine/device.h"
#include "engine/shape.h"

namespace cnpd::kernels {
class FilterLayouts;
}

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

    // To be called before the data is changed.
    void mark_written() {
        version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    // Where CPU convolutions keep what they computed from the data as a filter of this shape. Null
    // in the first call after the data was written, because most filters are used once: nothing is
    // kept for these.
    std::shared_ptr<kernels::FilterLayouts> filter_layouts(const Shape& shape);

  private:
    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0, capacity_ = 0;
    Device device_;
    std::shared_ptr<MemoryPool> pool_;

    std::atomic<std::uint64_t> version_{1};
    std::mutex layouts_mutex_;  // of the following
    std::shared_ptr<kernels::FilterLayouts> layouts_;
    std::uint64_t layouts_version_ = 0;  // of the data in the last call
    Shape layouts_shape_;
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
