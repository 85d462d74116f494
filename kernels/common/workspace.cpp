#include "kernels/common/workspace.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace cnpd::kernels {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kHugePage = 2 << 20;

// Large blocks get huge pages: the Winograd transforms write 36 streams at once, more than a
// processor keeps translations of small pages for.
void* allocate(std::int64_t bytes) {
    const bool large = bytes >= kHugePage;
    void* const data =
        std::aligned_alloc(large ? kHugePage : kAlignment, static_cast<std::size_t>(bytes));
    if (data && large) ::madvise(data, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);
    return data;
}

// Half a huge page is worth a whole one.
std::int64_t rounded(std::int64_t bytes) {
    const std::int64_t unit = bytes < kHugePage / 2 ? kAlignment : kHugePage;
    return std::max<std::int64_t>((bytes + unit - 1) / unit, 1) * unit;
}

// The block of the thread's last Workspace. One is enough: a kernel holds one Workspace; nested
// ones are rare and allocate.
struct Spare {
    void* data = nullptr;
    std::int64_t bytes = 0;
    ~Spare() { std::free(data); }
};
thread_local Spare spare;

}  // namespace

Workspace::Workspace(std::int64_t bytes) {
    bytes = rounded(bytes);
    if (spare.bytes >= bytes) {
        data_ = std::exchange(spare.data, nullptr);
        bytes_ = std::exchange(spare.bytes, 0);
        return;
    }
    // Freed first, so that a growing workspace is not allocated twice.
    std::free(std::exchange(spare.data, nullptr));
    spare.bytes = 0;
    data_ = allocate(bytes);
    if (!data_) throw std::bad_alloc();
    bytes_ = bytes;
}

Workspace::~Workspace() {
    if (bytes_ > spare.bytes) {
        std::swap(data_, spare.data);
        std::swap(bytes_, spare.bytes);
    }
    std::free(data_);
}

}  // namespace cnpd::kernels
