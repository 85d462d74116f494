// kernels/common/gpu.h without a GPU: memory is the host's, and a stream does everything at once.
#include "kernels/common/gpu.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/common/error.h"

namespace cnpd::kernels::gpu {
namespace {

using Work = std::vector<std::function<void()>>;

thread_local Work* captured = nullptr;
thread_local void* chosen_stream = nullptr;

void* allocate_aligned(std::size_t bytes) {
    constexpr std::size_t kAlignment = 256;
    void* memory = nullptr;
    if (::posix_memalign(&memory, kAlignment, bytes) != 0) throw std::bad_alloc();
    return memory;
}

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
    return {.name = "emulated",
            .compute_major = 8,
            .compute_minor = 0,
            .multiprocessors = 1,
            .memory_bytes = 0,
            .l2_bytes = 0,
            .shared_bytes_per_block = 100 << 10};
}

void* allocate(std::size_t bytes) {
    return allocate_aligned(bytes);
}
void release(void* memory) noexcept {
    std::free(memory);
}
void* allocate_pinned(std::size_t bytes) {
    return allocate_aligned(bytes);
}
void release_pinned(void* memory) noexcept {
    std::free(memory);
}

void copy_to_device(void* target, const void* source, std::size_t bytes) {
    refuse_capture("a copy from the host");
    if (bytes) std::memcpy(target, source, bytes);
}
void copy_to_host(void* target, const void* source, std::size_t bytes) {
    refuse_capture("a copy to the host");
    if (bytes) std::memcpy(target, source, bytes);
}
void copy_on_device(void* target, const void* source, std::size_t bytes) {
    if (bytes) enqueue([=] { std::memmove(target, source, bytes); });
}
void set_zero(void* target, std::size_t bytes) {
    if (bytes) enqueue([=] { std::memset(target, 0, bytes); });
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
    if (captured)
        captured->push_back(std::move(work));
    else
        work();
}

}  // namespace cnpd::kernels::gpu
