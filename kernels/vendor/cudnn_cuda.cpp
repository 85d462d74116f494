// The only file that includes cuDNN's header.
#ifdef CNPD_HAS_CUDNN

#include "kernels/vendor/cudnn.h"

#include <array>
#include <map>
#include <memory>

#include <cuda_runtime.h>
#include <cudnn.h>
#include <fmt/format.h>

#include "kernels/common/device_workspace.h"
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"

namespace cnpd::kernels::cudnn {
namespace {

void check(cudnnStatus_t status, const char* what) {
    if (status != CUDNN_STATUS_SUCCESS)
        throw CudaError(fmt::format("{}: cuDNN: {}", what, cudnnGetErrorString(status)));
}

// Of this thread, on its current stream. Never destroyed: the driver may be gone before.
cudnnHandle_t handle() {
    thread_local const cudnnHandle_t handle = [] {
        cudnnHandle_t made = nullptr;
        check(cudnnCreate(&made), "cuDNN");
        return made;
    }();
    check(cudnnSetStream(handle, static_cast<cudaStream_t>(gpu::current_stream())), "cuDNN");
    return handle;
}

template <typename T, cudnnStatus_t (*Create)(T*), cudnnStatus_t (*Destroy)(T)>
class Descriptor {
  public:
    Descriptor() { check(Create(&descriptor_), "cuDNN descriptor"); }
    ~Descriptor() { Destroy(descriptor_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    T get() const { return descriptor_; }

  private:
    T descriptor_{};
};
using TensorDescriptor =
    Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor =
    Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor,
               cudnnDestroyConvolutionDescriptor>;

int as_int(std::int64_t value) {
    return static_cast<int>(value);
}

// An algorithm, if there is one, and the scratch memory that it wants.
template <typename Algorithm>
struct Choice {
    Algorithm algorithm{};
    std::size_t workspace = 0;
    bool made = false, possible = false;
};

// What belongs to one shape: its descriptors and, once they have been needed, the algorithms.
struct Problem {
    TensorDescriptor x, y;
    FilterDescriptor filter;
    ConvolutionDescriptor convolution;
    Choice<cudnnConvolutionFwdAlgo_t> forward;
    Choice<cudnnConvolutionBwdDataAlgo_t> dgrad;
    Choice<cudnnConvolutionBwdFilterAlgo_t> wgrad;

    explicit Problem(const ConvolutionShape& s) {
        constexpr const char* kWhat = "convolution descriptors";
        check(cudnnSetTensor4dDescriptor(x.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, as_int(s.n),
                                         as_int(s.c), as_int(s.h), as_int(s.w)),
              kWhat);
        check(cudnnSetTensor4dDescriptor(y.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, as_int(s.n),
                                         as_int(s.k), as_int(s.out_h()), as_int(s.out_w())),
              kWhat);
        check(cudnnSetFilter4dDescriptor(filter.get(), CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC,
                                         as_int(s.k), as_int(s.c), as_int(s.r), as_int(s.s)),
              kWhat);
        const int pad = as_int(s.pad), stride = as_int(s.stride);
        check(cudnnSetConvolution2dDescriptor(convolution.get(), pad, pad, stride, stride, 1, 1,
                                              CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
              kWhat);
        // float32 means float32: no TF32 unless it was asked for.
        check(cudnnSetConvolutionMathType(convolution.get(), CUDNN_FMA_MATH), kWhat);
    }
};

Problem& problem_of(const ConvolutionShape& s) {
    using Key = std::array<std::int64_t, 9>;
    thread_local auto* const problems = new std::map<Key, std::unique_ptr<Problem>>;
    auto& problem = (*problems)[Key{s.n, s.h, s.w, s.c, s.k, s.r, s.s, s.stride, s.pad}];
    if (!problem) problem = std::make_unique<Problem>(s);
    return *problem;
}

constexpr std::size_t kMostWorkspace = 512 << 20;

constexpr int kCandidates = 16;

// The fastest of the measured algorithms that is deterministic, float32 and fits. `find` is given
// where to put the results, how many there are, and scratch memory.
template <typename Performance, typename Algorithm, typename Find>
void choose(const char* what, Choice<Algorithm>& choice, const Find& find) {
    if (choice.made) return;
    std::array<Performance, kCandidates> measured{};
    int count = 0;
    const DeviceWorkspace workspace(kMostWorkspace);
    const cudnnStatus_t status = find(measured.data(), &count, workspace.data());
    choice.made = true;
    if (status == CUDNN_STATUS_NOT_SUPPORTED) return;
    check(status, what);
    for (int i = 0; i < count; ++i) {
        const Performance& each = measured[static_cast<std::size_t>(i)];
        const bool tensor_cores = each.mathType == CUDNN_TENSOR_OP_MATH ||
                                  each.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
        if (each.status != CUDNN_STATUS_SUCCESS || each.determinism != CUDNN_DETERMINISTIC ||
            tensor_cores || each.memory > kMostWorkspace)
            continue;
        choice.algorithm = each.algo;
        choice.workspace = each.memory;
        choice.possible = true;
        return;
    }
}

constexpr float kOne = 1, kZero = 0;

}  // namespace

bool forward(const ConvolutionShape& shape, const float* x, const float* filter, float* y) {
    constexpr const char* kWhat = "convolution_forward";
    Problem& p = problem_of(shape);
    choose<cudnnConvolutionFwdAlgoPerf_t>(
        kWhat, p.forward, [&](auto* measured, int* count, void* scratch) {
            return cudnnFindConvolutionForwardAlgorithmEx(
                handle(), p.x.get(), x, p.filter.get(), filter, p.convolution.get(), p.y.get(), y,
                kCandidates, count, measured, scratch, kMostWorkspace);
        });
    if (!p.forward.possible) return false;
    const DeviceWorkspace workspace(p.forward.workspace);
    check(cudnnConvolutionForward(handle(), &kOne, p.x.get(), x, p.filter.get(), filter,
                                  p.convolution.get(), p.forward.algorithm, workspace.data(),
                                  p.forward.workspace, &kZero, p.y.get(), y),
          kWhat);
    return true;
}

bool dgrad(const ConvolutionShape& shape, const float* dy, const float* filter, float* dx) {
    constexpr const char* kWhat = "convolution_dgrad";
    Problem& p = problem_of(shape);
    choose<cudnnConvolutionBwdDataAlgoPerf_t>(
        kWhat, p.dgrad, [&](auto* measured, int* count, void* scratch) {
            return cudnnFindConvolutionBackwardDataAlgorithmEx(
                handle(), p.filter.get(), filter, p.y.get(), dy, p.convolution.get(), p.x.get(), dx,
                kCandidates, count, measured, scratch, kMostWorkspace);
        });
    if (!p.dgrad.possible) return false;
    const DeviceWorkspace workspace(p.dgrad.workspace);
    check(cudnnConvolutionBackwardData(handle(), &kOne, p.filter.get(), filter, p.y.get(), dy,
                                       p.convolution.get(), p.dgrad.algorithm, workspace.data(),
                                       p.dgrad.workspace, &kZero, p.x.get(), dx),
          kWhat);
    return true;
}

bool wgrad(const ConvolutionShape& shape, const float* x, const float* dy, float* dfilter) {
    constexpr const char* kWhat = "convolution_wgrad";
    Problem& p = problem_of(shape);
    choose<cudnnConvolutionBwdFilterAlgoPerf_t>(
        kWhat, p.wgrad, [&](auto* measured, int* count, void* scratch) {
            return cudnnFindConvolutionBackwardFilterAlgorithmEx(
                handle(), p.x.get(), x, p.y.get(), dy, p.convolution.get(), p.filter.get(), dfilter,
                kCandidates, count, measured, scratch, kMostWorkspace);
        });
    if (!p.wgrad.possible) return false;
    const DeviceWorkspace workspace(p.wgrad.workspace);
    check(cudnnConvolutionBackwardFilter(handle(), &kOne, p.x.get(), x, p.y.get(), dy,
                                         p.convolution.get(), p.wgrad.algorithm, workspace.data(),
                                         p.wgrad.workspace, &kZero, p.filter.get(), dfilter),
          kWhat);
    return true;
}

}  // namespace cnpd::kernels::cudnn

#endif
