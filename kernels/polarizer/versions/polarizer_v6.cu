// Version 6: known places. wmma does not say which lane holds which element of a fragment, so that
// version 5 pads its lines by 16 bytes and sends sums through shared memory. ldmatrix and mma.sync
// do say it (tensor_core.h). Then
//
//   - lines of 64 k have no padding: their 16-byte pieces are permuted (swizzled_tile.h), and
//     neither the copies nor the reads have bank conflicts;
//   - a thread has eight neighbouring channels of a row in registers and stores them as 16 bytes,
//     two whole sectors for four lanes. No shared memory, no barriers in the epilogue;
//   - a barrier for 64 k instead of 32. Three stages of 32 KB fit into the 99 KB of small GPUs.
//
// At C = 512 and 65,536 rows shared memory moves 1.6 GB of fragments and 0.5 GB of copies, with the
// stores of results 78 us on an H100: no more epilogue. The limit is still the L2 cache, 110 us.
// Prediction: 80 to 95 % of it, 250 to 295 TFLOP/s. On an A100 tensor cores (312 TFLOP/s) and L2
// cache take equally long, and version 6 gains more.
#include "kernels/polarizer/versions/staged_product.h"
#include "kernels/polarizer/versions/swizzled_tile.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {

void polarizer_v6(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                  const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    constexpr int kStages = 3;
    if (!launch_staged<SwizzledTile, kStages>("polarizer_v6", shape, z, samples, maps, out))
        polarizer_v4(shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
