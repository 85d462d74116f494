// kernels/common/gpu.h without a GPU: a stream runs its work immediately.
#include "kernels/common/gpu.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/common/error.h"
#include "kernels/emulator/capture.h"
#include "kernels/emulator/compute_capability.h"
#include "kernels/emulator/device_memory.h"

namespace cnpd::kernels::gpu {
namespace {

using Work = std::vector<std::function<void()>>;

thread_local Work* captured = nullptr;
thread_local std::int64_t launches_until_failure = -1;
thread_local void* chosen_stream = nullptr;
thread_local Properties emulated{.name = "emulated",
                                 .compute_major = 8,
                                 .compute_minor = 0,
                                 .multiprocessors = 1,
                                 .memory_bytes = 0,
                                 .l2_bytes = 0,
                                 .shared_bytes_per_block = 100 << 10};

void refuse_capture(const char* what) {
    if (captured) throw CudaError(std::string(what) + " cannot be part of a graph");
}

}  // namespace

void check(int, const char*) {}

int device_count() {
    return 1;
}
std::string why_no_device() {
    return {};
}
Properties properties(int) {
    return emulated;
}

void* allocate(std::size_t bytes) {
    return emulator::allocate_device_memory(bytes);
}
void release(void* memory) noexcept {
    emulator::release_device_memory(memory);
}
void* allocate_pinned(std::size_t bytes) {
    void* const memory = std::malloc(bytes);
    if (!memory) throw std::bad_alloc();
    return memory;
}
void release_pinned(void* memory) noexcept {
    std::free(memory);
}

void copy_to_device(void* target, const void* source, std::size_t bytes) {
    refuse_capture("a copy from the host");
    const emulator::DeviceAccess access;
    if (bytes) std::memcpy(target, source, bytes);
}
void copy_to_host(void* target, const void* source, std::size_t bytes) {
    refuse_capture("a copy to the host");
    const emulator::DeviceAccess access;
    if (bytes) std::memcpy(target, source, bytes);
}
void copy_on_device(void* target, const void* source, std::size_t bytes) {
    if (bytes == 0) return;
    enqueue([=] {
        const emulator::DeviceAccess access;
        std::memmove(target, source, bytes);
    });
}
void set_zero(void* target, std::size_t bytes) {
    if (bytes == 0) return;
    enqueue([=] {
        const emulator::DeviceAccess access;
        std::memset(target, 0, bytes);
    });
}

Stream::Stream() : handle_(this) {}
Stream::~Stream() = default;
void Stream::synchronize() const {
    refuse_capture("waiting for a stream");
}

void* current_stream() {
    return chosen_stream;
}
void synchronize() {
    refuse_capture("waiting for a stream");
}

StreamScope::StreamScope(const Stream& stream) : before_(chosen_stream) {
    chosen_stream = stream.handle();
}
StreamScope::~StreamScope() {
    chosen_stream = before_;
}

struct Event::Implementation {
    std::chrono::steady_clock::time_point time;
};
Event::Event() : implementation_(std::make_unique<Implementation>()) {}
Event::~Event() = default;
void Event::record() {
    implementation_->time = std::chrono::steady_clock::now();
}
void Event::synchronize() const {}
double Event::seconds_since(const Event& earlier) const {
    return std::chrono::duration<double>(implementation_->time - earlier.implementation_->time)
        .count();
}

struct Graph::Implementation {
    Work work;
};
Graph::Graph(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

Graph Graph::capture(const std::function<void()>& work) {
    refuse_capture("a graph");
    auto graph = std::make_unique<Implementation>();
    captured = &graph->work;
    try {
        work();
    } catch (...) {
        captured = nullptr;
        throw;
    }
    captured = nullptr;
    return Graph(std::move(graph));
}
void Graph::launch() const {
    for (const auto& work : implementation_->work) work();
}
std::int64_t Graph::nodes() const {
    return static_cast<std::int64_t>(implementation_->work.size());
}
bool is_capturing() {
    return captured != nullptr;
}

void enqueue(std::function<void()> work) {
    if (!captured) return work();
    if (launches_until_failure == static_cast<std::int64_t>(captured->size())) {
        launches_until_failure = -1;
        throw std::bad_alloc();
    }
    captured->push_back(std::move(work));
}

}  // namespace cnpd::kernels::gpu

namespace cnpd::kernels::emulator {

void fail_capture_after(std::int64_t launches) {
    gpu::launches_until_failure = launches;
}

ComputeCapability::ComputeCapability(int major, int minor) : before_(gpu::emulated) {
    gpu::emulated.compute_major = major;
    gpu::emulated.compute_minor = minor;
    gpu::emulated.shared_bytes_per_block = major == 9 || major == 10 ? 227 << 10 : 99 << 10;
}

ComputeCapability::~ComputeCapability() {
    gpu::emulated = before_;
}

}  // namespace cnpd::kernels::emulator
