// The driver encodes the copy engine's tensor maps. The function is looked up at run time, so that
// no program links with libcuda, which is missing on machines without a GPU.
#include <cudaTypedefs.h>
#include <cuda_runtime.h>
#include <fmt/format.h>

#include "kernels/common/error.h"
#include "kernels/common/gpu.h"
#include "kernels/common/tensor_map.h"

namespace cnpd::kernels::hopper {
namespace {

PFN_cuTensorMapEncodeTiled_v12000 encoder() {
    static const auto function = [] {
        void* found = nullptr;
        cudaDriverEntryPointQueryResult status{};
#if CUDART_VERSION >= 12050
        gpu::check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                    cudaEnableDefault, &status),
                   "tensor maps");
#else
        gpu::check(
            cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &status),
            "tensor maps");
#endif
        if (status != cudaDriverEntryPointSuccess || !found)
            throw CudaError("the driver does not support tensor maps");
        return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(found);
    }();
    return function;
}

}  // namespace

CUtensorMap tensor_map(const bfloat16* data, const TensorBoxes& boxes) {
    CUtensorMap map;
    const cuuint32_t ones[5] = {1, 1, 1, 1, 1};
    const CUresult result =
        encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, static_cast<cuuint32_t>(boxes.rank),
                  const_cast<bfloat16*>(data), boxes.size, boxes.stride, boxes.box, ones,
                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS)
        throw CudaError(fmt::format("the driver refuses a tensor map of {} dimensions (error {})",
                                    boxes.rank, static_cast<int>(result)));
    return map;
}

}  // namespace cnpd::kernels::hopper
