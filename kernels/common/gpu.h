// The part of the CUDA runtime that is used, without its headers: memory, streams, events and
// graphs of the current GPU, or of the emulated one. All functions check for errors and throw
// CudaError (error.h); copies and launches always use the calling thread's current stream. A build
// without a GPU backend links gpu_none.cpp: device_count() is 0 and all functions that need a
// device throw DeviceError.
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

// Usable GPUs; 0 without a driver.
int device_count();
// Why device_count() is 0: "no CUDA driver", ...
std::string why_no_device();
Properties properties(int device = 0);

// Device memory, aligned to 256 bytes. `release` waits for kernels that still use the memory.
void* allocate(std::size_t bytes);  // throws std::bad_alloc if there is not enough
void release(void* memory) noexcept;

// Pinned host memory, which the GPU copies to and from directly.
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* memory) noexcept;

// In stream order. A copy to the host is complete when the call returns; after a copy from the
// host, its source may be reused.
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

// The stream for this thread's work: one that lives as long as the thread, unless a StreamScope
// selects another.
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
    void record();             // on the current stream
    void synchronize() const;  // waits until the stream has reached the event
    double seconds_since(const Event& earlier) const;  // both must be complete

  private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
};

// Recorded work that is replayed as a whole. Memory that it uses has to stay allocated.
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

// Whether the current stream is recording a graph.
bool is_capturing();

// Emulated GPU only: runs `work`, or adds it to the graph that is being captured.
void enqueue(std::function<void()> work);

}  // namespace cnpd::kernels::gpu
