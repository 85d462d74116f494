// kernels/common/gpu.h in a build without a GPU backend: no devices.
#include "kernels/common/gpu.h"

#include "kernels/common/error.h"

namespace cnpd::kernels::gpu {
namespace {

[[noreturn]] void refuse() {
    throw DeviceError(why_no_device());
}

}  // namespace

void check(int, const char*) {
    refuse();
}

int device_count() {
    return 0;
}
std::string why_no_device() {
    return "this program was built without the CUDA backend (-DCNPD_CUDA=ON)";
}
Properties properties(int) {
    refuse();
}

void* allocate(std::size_t) {
    refuse();
}
void release(void*) noexcept {}
void* allocate_pinned(std::size_t) {
    refuse();
}
void release_pinned(void*) noexcept {}

void copy_to_device(void*, const void*, std::size_t) {
    refuse();
}
void copy_to_host(void*, const void*, std::size_t) {
    refuse();
}
void copy_on_device(void*, const void*, std::size_t) {
    refuse();
}
void set_zero(void*, std::size_t) {
    refuse();
}

Stream::Stream() {
    refuse();
}
Stream::~Stream() = default;
void Stream::synchronize() const {}

void* current_stream() {
    refuse();
}
void synchronize() {
    refuse();
}

StreamScope::StreamScope(const Stream&) : before_(nullptr) {}
StreamScope::~StreamScope() {
    static_cast<void>(before_);
}

struct Event::Implementation {};
Event::Event() {
    refuse();
}
Event::~Event() = default;
void Event::record() {}
void Event::synchronize() const {}
double Event::seconds_since(const Event&) const {
    return 0;
}

struct Graph::Implementation {};
Graph::Graph(std::unique_ptr<Implementation>) {}
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;
Graph Graph::capture(const std::function<void()>&) {
    refuse();
}
void Graph::launch() const {}
std::int64_t Graph::nodes() const {
    return 0;
}

bool is_capturing() {
    return false;
}
void enqueue(std::function<void()>) {
    refuse();
}

}  // namespace cnpd::kernels::gpu
