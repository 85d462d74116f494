#include "kernels/common/device_workspace.h"

#include <map>

#include "kernels/common/gpu.h"

namespace cnpd::kernels {
namespace {

using Pool = std::multimap<std::size_t, void*>;

// Of this thread's current stream: work on another stream might not wait for the last user. Never
// destroyed: at the end of a thread the driver may already be unloaded.
Pool& pool() {
    thread_local auto* const pools = new std::map<void*, Pool>;
    return (*pools)[gpu::current_stream()];
}

}  // namespace

DeviceWorkspace::DeviceWorkspace(std::size_t bytes) {
    constexpr std::size_t kStep = 64 << 10;
    bytes_ = (bytes + kStep - 1) / kStep * kStep;
    Pool& free = pool();
    const auto found = free.lower_bound(bytes_);
    if (found == free.end()) {
        data_ = gpu::allocate(bytes_);
    } else {
        bytes_ = found->first;
        data_ = found->second;
        free.erase(found);
    }
}

DeviceWorkspace::~DeviceWorkspace() {
    pool().emplace(bytes_, data_);
}

}  // namespace cnpd::kernels
