// The only file that includes cuDNN's header.
#ifdef CNPD_HAS_CUDNN

#include "kernels/vendor/cudnn.h"

#include <array>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>

#include <cuda_runtime.h>
#include <cudnn.h>
#include <fmt/format.h>

#include "kernels/common/device_workspace.h"
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#include "kernels/common/notice.h"
#include "kernels/vendor/algorithm_search.h"

namespace cnpd::kernels::cudnn {
namespace {

void check(cudnnStatus_t status, const char* what) {
    if (status != CUDNN_STATUS_SUCCESS)
        throw CudaError(fmt::format("{}: cuDNN: {}", what, cudnnGetErrorString(status)));
}

// Of this thread, on its current stream. Never destroyed: the driver may be unloaded before.
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

// One shape in one arithmetic: its descriptors and, after the first call, the algorithms.
struct Problem {
    TensorDescriptor x, y;
    FilterDescriptor filter;
    ConvolutionDescriptor convolution;
    ConvolutionShape shape;
    Arithmetic arithmetic;
    AlgorithmSearch forward, dgrad, wgrad;

    Problem(const ConvolutionShape& s, Arithmetic chosen) : shape(s), arithmetic(chosen) {
        constexpr const char* kWhat = "convolution descriptors";
        const cudnnDataType_t type =
            arithmetic == Arithmetic::bfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
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
    thread_local auto* const problems = new std::map<SearchKey, std::unique_ptr<Problem>>;
    const Arithmetic arithmetic = arithmetic_of<T>();
    auto& problem = (*problems)[search_key(s, arithmetic)];
    if (!problem) problem = std::make_unique<Problem>(s, arithmetic);
    return *problem;
}

Answer answer_of(cudnnStatus_t status) {
    if (status == CUDNN_STATUS_SUCCESS) return Answer::success;
    return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ? Answer::unsupported
                                                                       : Answer::failed;
}

Mathematics mathematics_of(cudnnMathType_t math) {
    switch (math) {
        case CUDNN_FMA_MATH:
            return Mathematics::fma;
        case CUDNN_DEFAULT_MATH:
            return Mathematics::standard;
        case CUDNN_TENSOR_OP_MATH:
            return Mathematics::tensor_cores;
        case CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION:
            break;
    }
    return Mathematics::converting;
}
cudnnMathType_t math_type_of(Mathematics mathematics) {
    switch (mathematics) {
        case Mathematics::fma:
            return CUDNN_FMA_MATH;
        case Mathematics::standard:
            return CUDNN_DEFAULT_MATH;
        case Mathematics::tensor_cores:
            return CUDNN_TENSOR_OP_MATH;
        case Mathematics::converting:
            break;
    }
    return CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
}

constexpr std::size_t kMostWorkspace = 512 << 20;

constexpr int kCandidates = 16;

// Scratch memory for a search: up to kMostWorkspace, as much as is available.
class SearchScratch {
  public:
    explicit SearchScratch(const std::string& operation) {
        for (bytes_ = kMostWorkspace; bytes_ >= 1 << 20; bytes_ /= 8) {
            try {
                workspace_.emplace(bytes_);
                if (bytes_ < kMostWorkspace) break;
                return;
            } catch (const std::bad_alloc&) {
            }
        }
        if (!workspace_) bytes_ = 0;
        notice(
            fmt::format("{}: device memory is low; only algorithms with at most {} MiB of "
                        "scratch memory were tried",
                        operation, bytes_ >> 20));
    }
    void* data() const { return workspace_ ? workspace_->data() : nullptr; }
    std::size_t bytes() const { return bytes_; }

  private:
    std::optional<DeviceWorkspace> workspace_;
    std::size_t bytes_ = 0;
};

// The algorithm of `search`, found by measurement if it is not known, or none. `find(results,
// count, scratch, bytes)` measures; `workspace(algorithm, bytes)` queries an algorithm's scratch
// memory in the descriptor's mathematics mode.
template <typename Performance, typename Find, typename Workspace>
std::optional<ChosenAlgorithm> fastest(const char* what, Problem& problem, AlgorithmSearch& search,
                                       const Find& find, const Workspace& workspace) {
    if (search.is_decided()) return search.chosen();
    const std::string operation = describe(what, problem.shape);
    const auto measure = [&] {
        if (gpu::is_capturing())
            throw CudaError(operation +
                            ": the first convolution of a shape cannot be part of a graph");
        // float32 must not become TF32 unless it was allowed.
        problem.use(problem.arithmetic == Arithmetic::float32 ? CUDNN_FMA_MATH
                                                              : CUDNN_TENSOR_OP_MATH);
        std::array<Performance, kCandidates> measured{};
        int count = 0;
        const SearchScratch scratch(operation);
        const cudnnStatus_t status = find(measured.data(), &count, scratch.data(), scratch.bytes());
        Measurements all{.answer = answer_of(status), .error = {}, .results = {}};
        if (all.answer != Answer::success) {
            all.error = cudnnGetErrorString(status);
            return all;
        }
        for (const Performance& each : std::span(measured).first(static_cast<std::size_t>(count)))
            all.results.push_back({.algorithm = static_cast<int>(each.algo),
                                   .answer = answer_of(each.status),
                                   .deterministic = each.determinism == CUDNN_DETERMINISTIC,
                                   .mathematics = mathematics_of(each.mathType),
                                   .workspace = each.memory});
        return all;
    };
    const auto query = [&](int algorithm, Mathematics mathematics) -> std::optional<std::size_t> {
        std::size_t bytes = 0;
        problem.use(math_type_of(mathematics));
        const auto asked = static_cast<decltype(Performance::algo)>(algorithm);
        if (workspace(asked, &bytes) != CUDNN_STATUS_SUCCESS) return std::nullopt;
        return bytes;
    };
    return search.algorithm(operation, problem.arithmetic, kMostWorkspace, measure, query);
}

// Runs the chosen algorithm with run(algorithm, scratch, bytes). Returns false without any effect
// if there is no algorithm or no scratch memory for it.
template <typename Performance, typename Run>
bool run_with(const char* what, Problem& problem, const std::optional<ChosenAlgorithm>& chosen,
              const Run& run) {
    if (!chosen) return false;
    std::optional<DeviceWorkspace> scratch;
    try {
        scratch.emplace(chosen->workspace);
    } catch (const std::bad_alloc&) {
        if (gpu::is_capturing()) throw;  // the graph would contain the slower kernel
        notice(
            fmt::format("{}: {} MiB of scratch memory are not free on the device; a slower "
                        "kernel is used until they are",
                        describe(what, problem.shape), chosen->workspace >> 20));
        return false;
    }
    problem.use(math_type_of(chosen->mathematics));
    const auto algorithm = static_cast<decltype(Performance::algo)>(chosen->algorithm);
    check(run(algorithm, scratch->data(), chosen->workspace), what);
    return true;
}

constexpr float kOne = 1, kZero = 0;

}  // namespace

template <typename T>
bool forward(const ConvolutionShape& shape, const T* x, const T* filter, T* y) {
    Problem& p = problem_of<T>(shape);
    const auto chosen = fastest<cudnnConvolutionFwdAlgoPerf_t>(
        "convolution_forward", p, p.forward,
        [&](auto* measured, int* count, void* scratch, std::size_t bytes) {
            return cudnnFindConvolutionForwardAlgorithmEx(
                handle(), p.x.get(), x, p.filter.get(), filter, p.convolution.get(), p.y.get(), y,
                kCandidates, count, measured, scratch, bytes);
        },
        [&](auto algorithm, std::size_t* bytes) {
            return cudnnGetConvolutionForwardWorkspaceSize(handle(), p.x.get(), p.filter.get(),
                                                           p.convolution.get(), p.y.get(),
                                                           algorithm, bytes);
        });
    return run_with<cudnnConvolutionFwdAlgoPerf_t>(
        "convolution_forward", p, chosen, [&](auto algorithm, void* scratch, std::size_t bytes) {
            return cudnnConvolutionForward(handle(), &kOne, p.x.get(), x, p.filter.get(), filter,
                                           p.convolution.get(), algorithm, scratch, bytes, &kZero,
                                           p.y.get(), y);
        });
}

template <typename T>
bool dgrad(const ConvolutionShape& shape, const T* dy, const T* filter, T* dx) {
    Problem& p = problem_of<T>(shape);
    const auto chosen = fastest<cudnnConvolutionBwdDataAlgoPerf_t>(
        "convolution_dgrad", p, p.dgrad,
        [&](auto* measured, int* count, void* scratch, std::size_t bytes) {
            return cudnnFindConvolutionBackwardDataAlgorithmEx(
                handle(), p.filter.get(), filter, p.y.get(), dy, p.convolution.get(), p.x.get(), dx,
                kCandidates, count, measured, scratch, bytes);
        },
        [&](auto algorithm, std::size_t* bytes) {
            return cudnnGetConvolutionBackwardDataWorkspaceSize(handle(), p.filter.get(), p.y.get(),
                                                                p.convolution.get(), p.x.get(),
                                                                algorithm, bytes);
        });
    return run_with<cudnnConvolutionBwdDataAlgoPerf_t>(
        "convolution_dgrad", p, chosen, [&](auto algorithm, void* scratch, std::size_t bytes) {
            return cudnnConvolutionBackwardData(handle(), &kOne, p.filter.get(), filter, p.y.get(),
                                                dy, p.convolution.get(), algorithm, scratch, bytes,
                                                &kZero, p.x.get(), dx);
        });
}

template <typename T>
bool wgrad(const ConvolutionShape& shape, const T* x, const T* dy, T* dfilter) {
    Problem& p = problem_of<T>(shape);
    const auto chosen = fastest<cudnnConvolutionBwdFilterAlgoPerf_t>(
        "convolution_wgrad", p, p.wgrad,
        [&](auto* measured, int* count, void* scratch, std::size_t bytes) {
            return cudnnFindConvolutionBackwardFilterAlgorithmEx(
                handle(), p.x.get(), x, p.y.get(), dy, p.convolution.get(), p.filter.get(), dfilter,
                kCandidates, count, measured, scratch, bytes);
        },
        [&](auto algorithm, std::size_t* bytes) {
            return cudnnGetConvolutionBackwardFilterWorkspaceSize(handle(), p.x.get(), p.y.get(),
                                                                  p.convolution.get(),
                                                                  p.filter.get(), algorithm, bytes);
        });
    return run_with<cudnnConvolutionBwdFilterAlgoPerf_t>(
        "convolution_wgrad", p, chosen, [&](auto algorithm, void* scratch, std::size_t bytes) {
            return cudnnConvolutionBackwardFilter(handle(), &kOne, p.x.get(), x, p.y.get(), dy,
                                                  p.convolution.get(), algorithm, scratch, bytes,
                                                  &kZero, p.filter.get(), dfilter);
        });
}

CNPD_INSTANTIATE(forward);
CNPD_INSTANTIATE(dgrad);
CNPD_INSTANTIATE(wgrad);

}  // namespace cnpd::kernels::cudnn

#endif
