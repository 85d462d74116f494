#include "engine/storage.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include <sys/mman.h>
#include <sys/resource.h>

#include "kernels/common/error.h"

namespace cnpd::engine {
namespace {

constexpr std::size_t kSmall = 1 << 20;      // below: sizes in steps of 512 bytes
constexpr std::size_t kHugePage = 2u << 20;  // above: whole huge pages, which cost fewer faults

std::size_t round_up(std::size_t bytes) {
    const std::size_t step = bytes < kSmall ? 512 : kHugePage;
    return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
}

class CpuAllocator {
  public:
    // Returns a buffer of at least `bytes` and sets capacity to its size. A cached buffer is taken
    // when it wastes at most an eighth of itself.
    std::byte* allocate(std::size_t bytes, std::size_t& capacity) {
        const std::scoped_lock lock(mutex_);
        capacity = round_up(bytes);
        const auto cached = free_.lower_bound(capacity);
        std::byte* data = nullptr;
        if (cached != free_.end() && cached->first - capacity <= cached->first / 8) {
            capacity = cached->first;
            data = cached->second;
            free_.erase(cached);
        } else {
            data = from_system(capacity);
            statistics_.reserved += capacity;
        }
        statistics_.in_use += capacity;
        statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
        return data;
    }

    void release(std::byte* data, std::size_t capacity) noexcept {
        const std::scoped_lock lock(mutex_);
        statistics_.in_use -= capacity;
        try {
            free_.emplace(capacity, data);
        } catch (const std::bad_alloc&) {
            statistics_.reserved -= capacity;
            std::free(data);
        }
    }

    void empty_cache() {
        const std::scoped_lock lock(mutex_);
        drop_cached();
    }

    MemoryStatistics statistics() {
        const std::scoped_lock lock(mutex_);
        return statistics_;
    }

  private:
    std::byte* from_system(std::size_t capacity) {
        const std::size_t alignment = capacity < kSmall ? 64 : kHugePage;
        void* data = std::aligned_alloc(alignment, capacity);
        if (!data) {
            drop_cached();
            data = std::aligned_alloc(alignment, capacity);
        }
        if (!data) throw std::bad_alloc();
        if (capacity >= kSmall) ::madvise(data, capacity, MADV_HUGEPAGE);
        return static_cast<std::byte*>(data);
    }

    void drop_cached() {
        for (const auto& [size, data] : free_) {
            statistics_.reserved -= size;
            std::free(data);
        }
        free_.clear();
    }

    std::mutex mutex_;
    std::multimap<std::size_t, std::byte*> free_;
    MemoryStatistics statistics_;
};

// Never destroyed: tensors with static lifetime may outlive every other static object.
CpuAllocator& cpu_allocator() {
    static CpuAllocator* const allocator = new CpuAllocator;
    return *allocator;
}

CpuAllocator& allocator_of(Device device) {
    if (device.backend != Backend::cpu) throw DeviceError("no memory on device " + device.str());
    return cpu_allocator();
}

}  // namespace

Storage::Storage(std::size_t bytes, Device device) : bytes_(bytes), device_(device) {
    data_ = allocator_of(device).allocate(bytes, capacity_);
}

Storage::~Storage() {
    cpu_allocator().release(data_, capacity_);
}

MemoryStatistics memory_statistics(Device device) {
    return allocator_of(device).statistics();
}

void empty_cache(Device device) {
    allocator_of(device).empty_cache();
}

std::size_t peak_resident_bytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace cnpd::engine
