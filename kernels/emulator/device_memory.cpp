#include "kernels/emulator/device_memory.h"

#include <execinfo.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <string_view>

namespace cnpd::kernels::emulator {

namespace {

std::atomic<std::size_t> limit{std::numeric_limits<std::size_t>::max()};
std::atomic<std::size_t> in_use{0};

}  // namespace

void limit_device_memory(std::size_t bytes) {
    limit = bytes;
}
std::size_t device_memory_in_use() {
    return in_use;
}

#if defined(__SANITIZE_ADDRESS__)

// With AddressSanitizer allocations come from its heap, so that it finds accesses beyond their
// ends.
void* allocate_device_memory(std::size_t bytes) {
    void* memory = nullptr;
    if (in_use + bytes > limit || ::posix_memalign(&memory, 256, bytes) != 0)
        throw std::bad_alloc();
    in_use += ::malloc_usable_size(memory);
    std::memset(memory, 0xFF, bytes);
    return memory;
}
void release_device_memory(void* memory) noexcept {
    in_use -= ::malloc_usable_size(memory);
    std::free(memory);
}
bool is_device_memory(const void*) {
    return true;
}
DeviceAccess::DeviceAccess() = default;
DeviceAccess::~DeviceAccess() {}

#else

namespace {

// One range of addresses, so that one call protects or unprotects all of it. Unused pages cost no
// memory.
class Arena {
  public:
    Arena() {
        void* const pages =
            ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (pages == MAP_FAILED) throw std::bad_alloc();
        begin_ = static_cast<char*>(pages);
        free_[0] = kBytes;
    }

    void* allocate(std::size_t bytes) {
        const std::scoped_lock lock(mutex_);
        bytes = (std::max<std::size_t>(bytes, 1) + kPage - 1) / kPage * kPage;
        const auto found = std::find_if(free_.begin(), free_.end(),
                                        [&](const auto& gap) { return gap.second >= bytes; });
        if (found == free_.end() || in_use + bytes > limit) throw std::bad_alloc();
        in_use += bytes;
        const auto [offset, room] = *found;
        free_.erase(found);
        if (room > bytes) free_[offset + bytes] = room - bytes;
        used_[offset] = bytes;
        if (offset + bytes > reached_) {
            reached_ = offset + bytes;
            if (open_ > 0) protect(PROT_READ | PROT_WRITE);
        }
        return begin_ + offset;
    }

    void release(void* memory) {
        const std::scoped_lock lock(mutex_);
        const auto found =
            used_.find(static_cast<std::size_t>(static_cast<char*>(memory) - begin_));
        if (found == used_.end()) return;
        auto [offset, bytes] = *found;
        used_.erase(found);
        in_use -= bytes;
        ::madvise(memory, bytes, MADV_DONTNEED);
        auto after = free_.lower_bound(offset);
        if (after != free_.end() && after->first == offset + bytes) {
            bytes += after->second;
            after = free_.erase(after);
        }
        if (after != free_.begin()) {
            const auto before = std::prev(after);
            if (before->first + before->second == offset) {
                before->second += bytes;
                return;
            }
        }
        free_[offset] = bytes;
    }

    bool contains(const void* address) const {
        return static_cast<std::size_t>(static_cast<const char*>(address) - begin_) < kBytes;
    }

    void open() {
        const std::scoped_lock lock(mutex_);
        if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
    }
    // Returns whether this was the last nested access.
    bool close() {
        const std::scoped_lock lock(mutex_);
        if (--open_ > 0) return false;
        protect(PROT_NONE);
        return true;
    }

  private:
    void protect(int protection) {
        if (reached_ > 0 && ::mprotect(begin_, reached_, protection) != 0) std::abort();
    }

    static constexpr std::size_t kBytes = std::size_t{64} << 30, kPage = 4096;
    std::mutex mutex_;
    char* begin_ = nullptr;
    std::size_t reached_ = 0;  // pages from here on have never been used
    int open_ = 0;
    std::map<std::size_t, std::size_t> free_, used_;  // bytes by offset
};

// Never destroyed: tensors may outlive every other static object.
Arena& arena() {
    static auto* const arena = new Arena;
    return *arena;
}

struct sigaction before;  // the previous handler of segmentation faults

void say(std::string_view text) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

void on_fault(int, siginfo_t* info, void*) {
    if (arena().contains(info->si_addr)) {
        say("emulator: host code accesses device memory, which is not possible on a GPU:\n");
        void* calls[32];
        ::backtrace_symbols_fd(calls, ::backtrace(calls, std::size(calls)), STDERR_FILENO);
    }
    ::sigaction(SIGSEGV, &before,
                nullptr);  // the access is repeated and calls the previous handler
}

// Test frameworks install their own handlers repeatedly.
void watch_faults() {
    struct sigaction current {};
    ::sigaction(SIGSEGV, nullptr, &current);
    if (current.sa_flags & SA_SIGINFO && current.sa_sigaction == on_fault) return;
    before = current;
    struct sigaction ours {};
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO;
    ::sigaction(SIGSEGV, &ours, nullptr);
}

}  // namespace

void* allocate_device_memory(std::size_t bytes) {
    void* const memory = arena().allocate(bytes);
    const DeviceAccess access;
    std::memset(memory, 0xFF, bytes);
    return memory;
}
void release_device_memory(void* memory) noexcept {
    if (memory) arena().release(memory);
}
bool is_device_memory(const void* address) {
    return arena().contains(address);
}
DeviceAccess::DeviceAccess() {
    arena().open();
}
DeviceAccess::~DeviceAccess() {
    if (arena().close()) watch_faults();
}

#endif

}  // namespace cnpd::kernels::emulator
