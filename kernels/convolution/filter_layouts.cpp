#include "kernels/convolution/filter_layouts.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace cnpd::kernels {
namespace {

std::atomic<std::int64_t> in_use{0};

// False if there would be too many.
bool reserve(std::int64_t bytes) {
    if (in_use.fetch_add(bytes) + bytes <= FilterLayouts::kMostBytes) return true;
    in_use -= bytes;
    return false;
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
    constexpr std::int64_t kLine = 64;
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[static_cast<std::size_t>(layout)];
    if (entry.data) return entry.data;
    const std::int64_t bytes =
        (floats * static_cast<std::int64_t>(sizeof(float)) + kLine - 1) / kLine * kLine;
    if (!reserve(bytes)) return nullptr;
    auto* const data =
        static_cast<float*>(std::aligned_alloc(kLine, static_cast<std::size_t>(bytes)));
    if (!data) {
        in_use -= bytes;
        throw std::bad_alloc();
    }
    make(data);
    entry = {data, bytes};
    return data;
}

}  // namespace cnpd::kernels
