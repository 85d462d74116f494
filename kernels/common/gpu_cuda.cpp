// kernels/common/gpu.h on a real GPU: the only file of common/ that includes CUDA's runtime API.
#include "kernels/common/gpu.h"

#include <new>
#include <utility>

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::kernels::gpu {
namespace {

thread_local void* chosen_stream = nullptr;

cudaStream_t stream() {
    return static_cast<cudaStream_t>(current_stream());
}

// For destructors: the error has been reported before, or the driver is shutting down.
void ignore(cudaError_t) {}

// During its lifetime, calls that are not work on a stream do not break the capture of a graph.
class AllowedInCapture {
  public:
    AllowedInCapture() { ignore(cudaThreadExchangeStreamCaptureMode(&mode_)); }
    ~AllowedInCapture() { ignore(cudaThreadExchangeStreamCaptureMode(&mode_)); }
    AllowedInCapture(const AllowedInCapture&) = delete;
    AllowedInCapture& operator=(const AllowedInCapture&) = delete;

  private:
    cudaStreamCaptureMode mode_ =
        cudaStreamCaptureModeRelaxed;  // the previous mode after the exchange
};

}  // namespace

void check(int cuda_error, const char* what) {
    if (cuda_error == cudaSuccess) return;
    const auto error = static_cast<cudaError_t>(cuda_error);
    ignore(cudaGetLastError());  // not to be reported again by the next call
    throw CudaError(
        fmt::format("{}: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error)));
}

int device_count() {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string why_no_device() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) return "";
    return fmt::format("{}: this needs an NVIDIA GPU and a driver for CUDA {}.{}",
                       error == cudaSuccess ? "no GPU found" : cudaGetErrorString(error),
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}

Properties properties(int device) {
    cudaDeviceProp of{};
    check(cudaGetDeviceProperties(&of, device), "device properties");
    return {.name = of.name,
            .compute_major = of.major,
            .compute_minor = of.minor,
            .multiprocessors = of.multiProcessorCount,
            .memory_bytes = of.totalGlobalMem,
            .l2_bytes = static_cast<std::size_t>(of.l2CacheSize),
            .shared_bytes_per_block = of.sharedMemPerBlockOptin};
}

void* allocate(std::size_t bytes) {
    const AllowedInCapture allowed;
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
        ignore(cudaGetLastError());
        throw std::bad_alloc();
    }
    check(error, "device memory");
    return memory;
}

void release(void* memory) noexcept {
    ignore(cudaFree(memory));
}

void* allocate_pinned(std::size_t bytes) {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, bytes), "pinned host memory");
    return memory;
}

void release_pinned(void* memory) noexcept {
    ignore(cudaFreeHost(memory));
}

void copy_to_device(void* target, const void* source, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice, stream()),
          "copy to the device");
    synchronize();
}

void copy_to_host(void* target, const void* source, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost, stream()),
          "copy to the host");
    synchronize();
}

void copy_on_device(void* target, const void* source, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, stream()),
          "copy on the device");
}

void set_zero(void* target, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemsetAsync(target, 0, bytes, stream()), "set to zero");
}

Stream::Stream() {
    cudaStream_t made = nullptr;
    check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "new stream");
    handle_ = made;
}
Stream::~Stream() {
    ignore(cudaStreamDestroy(static_cast<cudaStream_t>(handle_)));
}
void Stream::synchronize() const {
    check(cudaStreamSynchronize(static_cast<cudaStream_t>(handle_)), "work on the device");
}

void* current_stream() {
    if (!chosen_stream) {
        // Never destroyed: at the end of a thread the driver may already be unloaded.
        thread_local Stream* const own = new Stream;
        chosen_stream = own->handle();
    }
    return chosen_stream;
}

void synchronize() {
    check(cudaStreamSynchronize(stream()), "work on the device");
}

StreamScope::StreamScope(const Stream& stream)
    : before_(std::exchange(chosen_stream, stream.handle())) {}
StreamScope::~StreamScope() {
    chosen_stream = before_;
}

struct Event::Implementation {
    cudaEvent_t event = nullptr;
};
Event::Event() : implementation_(std::make_unique<Implementation>()) {
    check(cudaEventCreate(&implementation_->event), "new event");
}
Event::~Event() {
    ignore(cudaEventDestroy(implementation_->event));
}
void Event::record() {
    check(cudaEventRecord(implementation_->event, stream()), "event");
}
void Event::synchronize() const {
    check(cudaEventSynchronize(implementation_->event), "work on the device");
}
double Event::seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(
        cudaEventElapsedTime(&milliseconds, earlier.implementation_->event, implementation_->event),
        "time between events");
    return milliseconds * 1e-3;
}

struct Graph::Implementation {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;

    Implementation() = default;
    Implementation(const Implementation&) = delete;
    Implementation& operator=(const Implementation&) = delete;
    ~Implementation() {
        if (executable) ignore(cudaGraphExecDestroy(executable));
        if (graph) ignore(cudaGraphDestroy(graph));
    }
};
Graph::Graph(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

Graph Graph::capture(const std::function<void()>& work) {
    auto made = std::make_unique<Implementation>();
    check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "graph");
    try {
        work();
    } catch (...) {
        cudaGraph_t unfinished = nullptr;
        ignore(cudaStreamEndCapture(stream(), &unfinished));
        if (unfinished) ignore(cudaGraphDestroy(unfinished));
        ignore(cudaGetLastError());
        throw;
    }
    check(cudaStreamEndCapture(stream(), &made->graph), "graph");
    check(cudaGraphInstantiate(&made->executable, made->graph, 0), "graph");
    return Graph(std::move(made));
}

void Graph::launch() const {
    check(cudaGraphLaunch(implementation_->executable, stream()), "graph");
}

std::int64_t Graph::nodes() const {
    std::size_t count = 0;
    check(cudaGraphGetNodes(implementation_->graph, nullptr, &count), "graph");
    return static_cast<std::int64_t>(count);
}

bool is_capturing() {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check(cudaStreamIsCapturing(stream(), &status), "stream");
    return status != cudaStreamCaptureStatusNone;
}

}  // namespace cnpd::kernels::gpu
