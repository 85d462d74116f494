// The only file that includes cuBLASLt's header.
#include "kernels/vendor/cublas.h"

#include <array>
#include <map>

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <fmt/format.h>

#include "kernels/common/device_workspace.h"
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#include "kernels/common/tf32.h"

namespace cnpd::kernels::cublas {
namespace {

void check(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw CudaError(fmt::format("gemm: cuBLASLt: {}", cublasLtGetStatusString(status)));
}

// Never destroyed: the driver may be unloaded before.
cublasLtHandle_t handle() {
    thread_local const cublasLtHandle_t handle = [] {
        cublasLtHandle_t made = nullptr;
        check(cublasLtCreate(&made));
        return made;
    }();
    return handle;
}

constexpr std::size_t kWorkspace = 32 << 20;

// cuBLASLt's descriptors of one shape. It expects column-major matrices, which are transposed
// row-major ones, so c = op(a) op(b) is computed as c^T = op(b)^T op(a)^T.
class Plan {
  public:
    Plan(const GemmShape& s, cudaDataType_t type, cublasComputeType_t arithmetic) : type_(type) {
        check(cublasLtMatmulDescCreate(&operation_, arithmetic, CUDA_R_32F));
        const cublasOperation_t left = s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
        const cublasOperation_t right = s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
        check(cublasLtMatmulDescSetAttribute(operation_, CUBLASLT_MATMUL_DESC_TRANSA, &left,
                                             sizeof left));
        check(cublasLtMatmulDescSetAttribute(operation_, CUBLASLT_MATMUL_DESC_TRANSB, &right,
                                             sizeof right));
        b_ = s.transpose_b ? layout(s.k, s.n) : layout(s.n, s.k);
        a_ = s.transpose_a ? layout(s.m, s.k) : layout(s.k, s.m);
        c_ = layout(s.n, s.m);

        cublasLtMatmulPreference_t preference = nullptr;
        check(cublasLtMatmulPreferenceCreate(&preference));
        check(cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof kWorkspace));
        cublasLtMatmulHeuristicResult_t found{};
        int count = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
            handle(), operation_, b_, a_, c_, c_, preference, 1, &found, &count);
        cublasLtMatmulPreferenceDestroy(preference);
        check(status);
        if (count == 0) throw CudaError("gemm: cuBLASLt has no algorithm for this shape");
        algorithm_ = found.algo;
        workspace_ = found.workspaceSize;
    }

    void run(const void* a, const void* b, float beta, void* c) const {
        const DeviceWorkspace workspace(workspace_);
        const float alpha = 1;
        check(cublasLtMatmul(handle(), operation_, &alpha, b, b_, a, a_, &beta, c, c_, c, c_,
                             &algorithm_, workspace.data(), workspace_,
                             static_cast<cudaStream_t>(gpu::current_stream())));
    }

  private:
    cublasLtMatrixLayout_t layout(std::int64_t rows, std::int64_t columns) const {
        cublasLtMatrixLayout_t made = nullptr;
        check(cublasLtMatrixLayoutCreate(&made, type_, static_cast<std::uint64_t>(rows),
                                         static_cast<std::uint64_t>(columns), rows));
        return made;
    }

    cudaDataType_t type_;
    // Kept until the program ends, one set for each shape.
    cublasLtMatmulDesc_t operation_ = nullptr;
    cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, c_ = nullptr;
    cublasLtMatmulAlgo_t algorithm_{};
    std::size_t workspace_ = 0;
};

const Plan& plan(const GemmShape& s, cudaDataType_t type) {
    using Key = std::array<std::int64_t, 7>;
    thread_local auto* const plans = new std::map<Key, Plan>;
    const bool tf32 = type == CUDA_R_32F && tf32_allowed();
    const Key key{s.m, s.n, s.k, s.transpose_a, s.transpose_b, type, tf32};
    auto found = plans->find(key);
    if (found == plans->end())
        found = plans
                    ->emplace(key, Plan(s, type,
                                        tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F))
                    .first;
    return found->second;
}

}  // namespace

void gemm(const GemmShape& s, const float* a, const float* b, float* c) {
    plan(s, CUDA_R_32F).run(a, b, s.beta, c);
}

void gemm_bf16(const GemmShape& s, const bfloat16* a, const bfloat16* b, bfloat16* c) {
    plan(s, CUDA_R_16BF).run(a, b, s.beta, c);
}

}  // namespace cnpd::kernels::cublas
