// Scratch memory for one kernel call.
#pragma once

#include <cstdint>
#include <memory>

namespace cnpd::kernels {

// Uninitialised memory, aligned to a cache line and released at the end of the scope. Large blocks
// are kept for the thread's next Workspace, so that a training loop does not get new pages in every
// call.
//
class Workspace {
  public:
    explicit Workspace(std::int64_t bytes);
    ~Workspace();
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    void* data() const { return data_; }
    float* floats() const { return static_cast<float*>(data_); }

  private:
    void* data_ = nullptr;
    std::int64_t bytes_ = 0;
};

}  // namespace cnpd::kernels
