#include "engine/storage.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include <sys/mman.h>
#include <sys/resource.h>

#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#include "kernels/convolution/filter_layouts.h"

namespace cnpd::engine {
namespace {

constexpr std::size_t kSmall = 1 << 20;      // below: sizes in steps of 512 bytes
constexpr std::size_t kHugePage = 2u << 20;  // above: whole huge pages, which cost fewer faults

std::size_t round_up(std::size_t bytes) {
    const std::size_t step = bytes < kSmall ? 512 : kHugePage;
    return (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
}

// The source of a device's memory, and the totals of all of its pools.
struct System {
    std::byte* (*allocate)(std::size_t bytes);  // null if there is no more memory
    void (*release)(std::byte* data);
    std::mutex mutex{};  // also protects the pools
    MemoryStatistics statistics{};
};

std::byte* allocate_on_host(std::size_t bytes) {
    void* data = std::aligned_alloc(bytes < kSmall ? 64 : kHugePage, bytes);
    if (data && bytes >= kSmall) ::madvise(data, bytes, MADV_HUGEPAGE);
    return static_cast<std::byte*>(data);
}
void release_on_host(std::byte* data) {
    std::free(data);
}

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

bool is_gpu(Device device) {
    return gpu_backend() && device == Device{.backend = *gpu_backend()};
}

System& system_of(Device device) {
    // Never destroyed: tensors with static lifetime may outlive every other static object.
    static auto* const host = new System{allocate_on_host, release_on_host};
    if (device.backend == Backend::cpu) return *host;
    static auto* const gpu = new System{allocate_on_gpu, release_on_gpu};
    if (is_gpu(device)) return *gpu;
    throw DeviceError("no memory on device " + device.str());
}

thread_local std::shared_ptr<MemoryPool> chosen_pool;

}  // namespace

// A released buffer may be reused while kernels on it are still running, because its next user is
// enqueued after them on the same stream.
class MemoryPool {
  public:
    explicit MemoryPool(Device device) : device_(device), system_(system_of(device)) {}
    ~MemoryPool() { empty(); }
    MemoryPool(const MemoryPool&) = delete;
    MemoryPool& operator=(const MemoryPool&) = delete;

    Device device() const { return device_; }

    // Returns a buffer of at least `bytes` and sets capacity to its size. A cached buffer is used
    // if at most an eighth of it would be unused.
    std::byte* allocate(std::size_t bytes, std::size_t& capacity) {
        const std::scoped_lock lock(system_.mutex);
        capacity = round_up(bytes);
        const auto cached = free_.lower_bound(capacity);
        std::byte* data = nullptr;
        if (cached != free_.end() && cached->first - capacity <= cached->first / 8) {
            capacity = cached->first;
            data = cached->second;
            free_.erase(cached);
        } else {
            data = from_system(capacity);
            system_.statistics.reserved += capacity;
        }
        MemoryStatistics& statistics = system_.statistics;
        statistics.in_use += capacity;
        statistics.peak = std::max(statistics.peak, statistics.in_use);
        return data;
    }

    void release(std::byte* data, std::size_t capacity) noexcept {
        const std::scoped_lock lock(system_.mutex);
        system_.statistics.in_use -= capacity;
        try {
            free_.emplace(capacity, data);
        } catch (const std::bad_alloc&) {
            system_.statistics.reserved -= capacity;
            system_.release(data);
        }
    }

    // Returns unused buffers to the system.
    void empty() {
        const std::scoped_lock lock(system_.mutex);
        drop_unused();
    }

  private:
    std::byte* from_system(std::size_t capacity) {
        std::byte* data = system_.allocate(capacity);
        // A graph that is being captured refers to buffers that were already returned to its pool.
        if (!data && !is_capturing()) {
            drop_unused();
            data = system_.allocate(capacity);
        }
        if (!data) throw std::bad_alloc();
        return data;
    }

    bool is_capturing() const { return is_gpu(device_) && kernels::gpu::is_capturing(); }

    void drop_unused() {
        for (const auto& [size, data] : free_) {
            system_.statistics.reserved -= size;
            system_.release(data);
        }
        free_.clear();
    }

    Device device_;
    System& system_;
    std::multimap<std::size_t, std::byte*> free_;
};

namespace {

// The pool that all threads share. Never destroyed, like its system.
const std::shared_ptr<MemoryPool>& common_pool(Device device) {
    static auto* const host = new auto(std::make_shared<MemoryPool>(Device{}));
    if (device.backend == Backend::cpu) return *host;
    if (!is_gpu(device)) throw DeviceError("no memory on device " + device.str());
    static auto* const gpu = new auto(std::make_shared<MemoryPool>(device));
    return *gpu;
}

}  // namespace

std::shared_ptr<MemoryPool> make_memory_pool(Device device) {
    return std::make_shared<MemoryPool>(device);
}

MemoryPoolScope::MemoryPoolScope(std::shared_ptr<MemoryPool> pool)
    : before_(std::exchange(chosen_pool, std::move(pool))) {}
MemoryPoolScope::~MemoryPoolScope() {
    chosen_pool = std::move(before_);
}

Storage::Storage(std::size_t bytes, Device device)
    : bytes_(bytes),
      device_(device),
      pool_(chosen_pool && chosen_pool->device() == device ? chosen_pool : common_pool(device)) {
    data_ = pool_->allocate(bytes, capacity_);
}

Storage::~Storage() {
    pool_->release(data_, capacity_);
}

std::shared_ptr<kernels::FilterLayouts> Storage::filter_layouts(const Shape& shape) {
    const std::scoped_lock lock(layouts_mutex_);
    const std::uint64_t version = version_.load(std::memory_order_relaxed);
    if (layouts_version_ != version || layouts_shape_ != shape) {
        layouts_ = nullptr;
        layouts_version_ = version;
        layouts_shape_ = shape;
        return nullptr;
    }
    if (!layouts_) layouts_ = std::make_shared<kernels::FilterLayouts>();
    return layouts_;
}

MemoryStatistics memory_statistics(Device device) {
    System& system = system_of(device);
    const std::scoped_lock lock(system.mutex);
    return system.statistics;
}

void empty_cache(Device device) {
    common_pool(device)->empty();
}

std::size_t peak_resident_bytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace cnpd::engine
