#include "kernels/common/workspace.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

namespace cnpd::kernels {
namespace {

constexpr std::int64_t kAlignment = 64;

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
    bytes = std::max<std::int64_t>((bytes + kAlignment - 1) / kAlignment, 1) * kAlignment;
    if (spare.bytes >= bytes) {
        data_ = std::exchange(spare.data, nullptr);
        bytes_ = std::exchange(spare.bytes, 0);
        return;
    }
    // Freed first, so that a growing workspace is not allocated twice.
    std::free(std::exchange(spare.data, nullptr));
    spare.bytes = 0;
    data_ = std::aligned_alloc(kAlignment, static_cast<std::size_t>(bytes));
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
