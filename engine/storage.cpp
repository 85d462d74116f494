#include "engine/storage.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include <sys/mman.h>
#include <sys/resource.h>

#include "kernels/common/error.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::engine {
namespace {

constexpr std::size_t kSmall = 1 << 20;      // below: sizes in steps of 512 bytes
constexpr std::size_t kHugePage = 2u << 20;  // above: whole huge pages, which cost fewer faults

std::size_t round_up(std::size_t bytes) {
    const std::size_t step = bytes < kSmall ? 512 : kHugePage;
    return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
}

// Where a device's memory comes from.
struct System {
    std::byte* (*allocate)(std::size_t bytes);  // null when there is no more
    void (*release)(std::byte* data);
};

std::byte* allocate_on_host(std::size_t bytes) {
    void* data = std::aligned_alloc(bytes < kSmall ? 64 : kHugePage, bytes);
    if (data && bytes >= kSmall) ::madvise(data, bytes, MADV_HUGEPAGE);
    return static_cast<std::byte*>(data);
}
void release_on_host(std::byte* data) {
    std::free(data);
}

#ifdef CNPD_HAS_CUDA
#ifdef CNPD_EMULATED
constexpr Backend kGpu = Backend::emulated;
#else
constexpr Backend kGpu = Backend::cuda;
#endif

std::byte* allocate_on_gpu(std::size_t bytes) {
    try {
        return static_cast<std::byte*>(kernels::gpu::allocate(bytes));
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void release_on_gpu(std::byte* data) {
    kernels::gpu::release(data);
}
#endif

// A buffer that is given back may be handed out again while kernels on it are still running: what
// is done to it next is enqueued behind them on the same stream.
class CachingAllocator {
  public:
    explicit CachingAllocator(System system) : system_(system) {}

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
            system_.release(data);
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
        std::byte* data = system_.allocate(capacity);
        if (!data) {
            drop_cached();
            data = system_.allocate(capacity);
        }
        if (!data) throw std::bad_alloc();
        return data;
    }

    void drop_cached() {
        for (const auto& [size, data] : free_) {
            statistics_.reserved -= size;
            system_.release(data);
        }
        free_.clear();
    }

    System system_;
    std::mutex mutex_;
    std::multimap<std::size_t, std::byte*> free_;
    MemoryStatistics statistics_;
};

// Never destroyed: tensors with static lifetime may outlive every other static object.
CachingAllocator& allocator_of(Device device) {
    static auto* const host = new CachingAllocator({allocate_on_host, release_on_host});
    if (device.backend == Backend::cpu) return *host;
#ifdef CNPD_HAS_CUDA
    static auto* const gpu = new CachingAllocator({allocate_on_gpu, release_on_gpu});
    if (device == Device{.backend = kGpu}) return *gpu;
#endif
    throw DeviceError("no memory on device " + device.str());
}

}  // namespace

Storage::Storage(std::size_t bytes, Device device) : bytes_(bytes), device_(device) {
    data_ = allocator_of(device).allocate(bytes, capacity_);
}

Storage::~Storage() {
    allocator_of(device_).release(data_, capacity_);
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
