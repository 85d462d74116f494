// The only file that includes cuDNN's header.
#ifdef CNPD_HAS_CUDNN

#include "kernels/vendor/cudnn.h"

#include <array>
#include <map>
#include <memory>
#include <type_traits>

#include <cuda_runtime.h>
#include <cudnn.h>
#include <fmt/format.h>

#include "kernels/common/device_workspace.h"
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#include "kernels/common/tf32.h"

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

// What a convolution computes with.
struct Arithmetic {
    cudnnDataType_t type;
    bool tensor_cores;
};
template <typename T>
Arithmetic arithmetic_of() {
    if constexpr (std::is_same_v<T, bfloat16>)
        return {CUDNN_DATA_BFLOAT16, true};
    else
        return {CUDNN_DATA_FLOAT, tf32_allowed()};
}

// An algorithm, if there is one, and what it wants: scratch memory and the mathematics that it was
// measured with.
template <typename Algorithm>
struct Choice {
    Algorithm algorithm{};
    std::size_t workspace = 0;
    cudnnMathType_t math{};
    bool made = false, possible = false;
};

// What belongs to one shape and arithmetic: its descriptors and, once they have been needed, the
// algorithms.
struct Problem {
    TensorDescriptor x, y;
    FilterDescriptor filter;
    ConvolutionDescriptor convolution;
    bool tensor_cores;
    Choice<cudnnConvolutionFwdAlgo_t> forward;
    Choice<cudnnConvolutionBwdDataAlgo_t> dgrad;
    Choice<cudnnConvolutionBwdFilterAlgo_t> wgrad;

    Problem(const ConvolutionShape& s, const Arithmetic& arithmetic)
        : tensor_cores(arithmetic.tensor_cores) {
        constexpr const char* kWhat = "convolution descriptors";
        const cudnnDataType_t type = arithmetic.type;
        check(cudnnSetTensor4dDescriptor(x.get(), CUDNN_TENSOR_NHWC, type, as_int(s.n), as_int(s.c),
                                         as_int(s.h), as_int(s.w)),
              kWhat);
        check(cudnnSetTensor4dDescriptor(y.get(), CUDNN_TENSOR_NHWC, type, as_int(s.n), as_int(s.k),
                                         as_int(s.out_h()), as_int(s.out_w())),
              kWhat);
        check(cudnnSetFilter4dDescriptor(filter.get(), type, CUDNN_TENSOR_NHWC, as_int(s.k),
                                         as_int(s.c), as_int(s.r), as_int(s.s)),
              kWhat);
        const int pad = as_int(s.pad), stride = as_int(s.stride);
        check(cudnnSetConvolution2dDescriptor(convolution.get(), pad, pad, stride, stride, 1, 1,
                                              CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
              kWhat);
    }

    void use(cudnnMathType_t math) {
        check(cudnnSetConvolutionMathType(convolution.get(), math), "convolution");
    }
};

template <typename T>
Problem& problem_of(const ConvolutionShape& s) {
    using Key = std::array<std::int64_t, 11>;
    thread_local auto* const problems = new std::map<Key, std::unique_ptr<Problem>>;
    const Arithmetic arithmetic = arithmetic_of<T>();
    auto& problem = (*problems)[Key{s.n, s.h, s.w, s.c, s.k, s.r, s.s, s.stride, s.pad,
                                    arithmetic.type, arithmetic.tensor_cores}];
    if (!problem) problem = std::make_unique<Problem>(s, arithmetic);
    return *problem;
}

constexpr std::size_t kMostWorkspace = 512 << 20;

constexpr int kCandidates = 16;

// Whether an algorithm that was measured with this mathematics computes as it should.
bool is_allowed(cudnnMathType_t math, bool tensor_cores) {
    switch (math) {
        case CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION:  // to float16
            return false;
        case CUDNN_TENSOR_OP_MATH:
            return tensor_cores;
        default:
            return true;
    }
}

// The fastest of the measured algorithms that is deterministic, allowed and fits; the descriptor is
// left with its mathematics. `find` is given where to put the results, how many there are, and
// scratch memory.
template <typename Performance, typename Algorithm, typename Find>
void choose(const char* what, Problem& problem, Choice<Algorithm>& choice, const Find& find) {
    if (choice.made) {
        if (choice.possible) problem.use(choice.math);
        return;
    }
    // float32 means float32: no TF32 unless it was asked for.
    problem.use(problem.tensor_cores ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH);
    std::array<Performance, kCandidates> measured{};
    int count = 0;
    const DeviceWorkspace workspace(kMostWorkspace);
    const cudnnStatus_t status = find(measured.data(), &count, workspace.data());
    choice.made = true;
    if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED) return;
    check(status, what);
    for (int i = 0; i < count; ++i) {
        const Performance& each = measured[static_cast<std::size_t>(i)];
        if (each.status != CUDNN_STATUS_SUCCESS || each.determinism != CUDNN_DETERMINISTIC ||
            !is_allowed(each.mathType, problem.tensor_cores) || each.memory > kMostWorkspace)
            continue;
        choice.algorithm = each.algo;
        choice.workspace = each.memory;
        choice.math = problem.tensor_cores ? each.mathType : CUDNN_FMA_MATH;
        choice.possible = true;
        problem.use(choice.math);
        return;
    }
}

constexpr float kOne = 1, kZero = 0;

}  // namespace

template <typename T>
bool forward(const ConvolutionShape& shape, const T* x, const T* filter, T* y) {
    constexpr const char* kWhat = "convolution_forward";
    Problem& p = problem_of<T>(shape);
    choose<cudnnConvolutionFwdAlgoPerf_t>(
        kWhat, p, p.forward, [&](auto* measured, int* count, void* scratch) {
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

template <typename T>
bool dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx) {
    constexpr const char* kWhat = "convolution_dgrad";
    Problem& p = problem_of<T>(shape);
    choose<cudnnConvolutionBwdDataAlgoPerf_t>(
        kWhat, p, p.dgrad, [&](auto* measured, int* count, void* scratch) {
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

template <typename T>
bool wgrad(const ConvolutionShape& shape, const T* x, const T* dy, T* dfilter) {
    constexpr const char* kWhat = "convolution_wgrad";
    Problem& p = problem_of<T>(shape);
    choose<cudnnConvolutionBwdFilterAlgoPerf_t>(
        kWhat, p, p.wgrad, [&](auto* measured, int* count, void* scratch) {
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

CNPD_INSTANTIATE(forward);
CNPD_INSTANTIATE(dgrad);
CNPD_INSTANTIATE(wgrad);

}  // namespace cnpd::kernels::cudnn

#endif
