#include "kernels/convolution/filter_layouts.h"

#include <atomic>
#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace cnpd::kernels {
namespace {

std::atomic<std::int64_t> in_use{0};

// False if there would be too many.
bool reserve(std::int64_t bytes) {
    if (in_use.fetch_add(bytes) + bytes <= FilterLayouts::kMostBytes) return true;
    in_use -= bytes;
    return false;
}

// Whole huge pages for large layouts: they are read from one end to the other, once in a call, and
// small pages would cost a page walk for each 4 KB.
float* allocate(std::int64_t bytes) {
    constexpr std::size_t kLine = 64, kHugePage = 2u << 20;
    const auto size = static_cast<std::size_t>(bytes);
    void* const data = std::aligned_alloc(size < kHugePage ? kLine : kHugePage, size);
    if (data && size >= kHugePage) ::madvise(data, size, MADV_HUGEPAGE);
    return static_cast<float*>(data);
}

std::int64_t rounded(std::int64_t bytes) {
    constexpr std::int64_t kLine = 64, kHugePage = 2 << 20;
    const std::int64_t unit = bytes < kHugePage ? kLine : kHugePage;
    return (bytes + unit - 1) / unit * unit;
}

}  // namespace

FilterLayouts::~FilterLayouts() {
    for (const Entry& entry : entries_) {
        std::free(entry.data);
        in_use -= entry.bytes;
    }
}

std::int64_t FilterLayouts::bytes_in_use() {
    return in_use;
}

const float* FilterLayouts::find_or_make(FilterLayout layout, std::int64_t floats,
                                         const std::function<void(float*)>& make) {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[static_cast<std::size_t>(layout)];
    if (entry.data) return entry.data;
    const std::int64_t bytes = rounded(floats * static_cast<std::int64_t>(sizeof(float)));
    if (!reserve(bytes)) return nullptr;
    float* const data = allocate(bytes);
    if (!data) {
        in_use -= bytes;
        throw std::bad_alloc();
    }
    make(data);
    entry = {data, bytes};
    return data;
}

}  // namespace cnpd::kernels
