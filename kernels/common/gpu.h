// The CUDA runtime as far as it is used, without its headers: memory, streams, events and graphs of
// the current GPU, or of the emulated one. Everything here is checked and throws CudaError
// (error.h); nothing is copied or launched except on the calling thread's current stream. A build
// without either links gpu_none.cpp: device_count() is 0 and all that needs a device throws
// DeviceError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cnpd::kernels::gpu {

// Throws CudaError with the meaning of a cudaError_t other than success.
void check(int cuda_error, const char* what);

struct Properties {
    std::string name;
    int compute_major = 0, compute_minor = 0, multiprocessors = 0;
    std::size_t memory_bytes = 0, l2_bytes = 0, shared_bytes_per_block = 0;
    bool operator==(const Properties&) const = default;
};

// GPUs that answer; 0 without a driver.
int device_count();
// Why device_count() is 0: "no CUDA driver", ...
std::string why_no_device();
Properties properties(int device = 0);

// Device memory, aligned to 256 bytes. `release` of memory that a kernel still uses waits for it.
void* allocate(std::size_t bytes);  // throws std::bad_alloc when there is no more
void release(void* memory) noexcept;

// Host memory that the GPU copies to and from without a detour.
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* memory) noexcept;

// In the order of the stream. Copies to the host have arrived when the call returns; so have copies
// from the host left their source.
void copy_to_device(void* target, const void* source, std::size_t bytes);
void copy_to_host(void* target, const void* source, std::size_t bytes);
void copy_on_device(void* target, const void* source, std::size_t bytes);
void set_zero(void* target, std::size_t bytes);

class Stream {
  public:
    Stream();
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    void* handle() const { return handle_; }  // a cudaStream_t
    void synchronize() const;

  private:
    void* handle_ = nullptr;
};

// The stream that this thread's work goes to: one of its own that lives as long as the thread,
// unless a StreamScope chose another.
void* current_stream();
void synchronize();

class StreamScope {
  public:
    explicit StreamScope(const Stream& stream);
    ~StreamScope();
    StreamScope(const StreamScope&) = delete;
    StreamScope& operator=(const StreamScope&) = delete;

  private:
    void* before_;
};

class Event {
  public:
    Event();
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    void record();                                     // on the current stream
    void synchronize() const;                          // until the stream has come by
    double seconds_since(const Event& earlier) const;  // both have been recorded and passed

  private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

// Work that was recorded once and is replayed as a whole. Memory that it uses has to stay.
class Graph {
  public:
    // Records what `work` enqueues on the current stream instead of running it. Copies to and from
    // the host cannot be recorded.
    static Graph capture(const std::function<void()>& work);
    Graph(Graph&&) noexcept;
    Graph& operator=(Graph&&) noexcept;
    ~Graph();
    void launch() const;
    std::int64_t nodes() const;

  private:
    struct Implementation;
    explicit Graph(std::unique_ptr<Implementation> implementation);
    std::unique_ptr<Implementation> implementation_;
};

// Whether the current stream records a graph.
bool is_capturing();

// Not on a real GPU: runs `work`, or adds it to the graph that is being captured.
void enqueue(std::function<void()> work);

}  // namespace cnpd::kernels::gpu
