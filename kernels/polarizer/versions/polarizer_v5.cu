// Version 5: copies straight to shared memory. Version 4's tile, but cp.async in place of a load to
// a register and a store to shared memory: a thread starts three pieces of 32 k ahead and waits for
// the oldest one (staged_product.h). Version 4 has one piece under way, which has to arrive while
// the one before is multiplied.
//
// The registers of the staged piece and of its addresses are free: at most 128 for a thread instead
// of 166, so that two blocks of 4 x 20 KB share a multiprocessor, and one multiplies while the
// other waits or stores its results.
//
// At C = 512 and 65,536 rows (batch 4096 of 4x4) both operands of all tiles are 0.54 GB, read from
// the L2 cache (5.5 TB/s on an H100) in 98 us, and 12 more for the results. Version 4 moves these
// bytes through shared memory's port twice, to registers and back. Once is enough: fragments (1.6
// GB), copies (0.5 GB), the epilogue (0.3 GB) and results take 87 us instead of 106. Prediction:
// the L2 cache is the limit, 110 us; 70 to 90 % of it, 220 to 280 TFLOP/s.
#include "kernels/polarizer/tensor_tile.h"
#include "kernels/polarizer/versions/staged_product.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kStages = 4;

struct WmmaTile : TensorTile<Bf16> {
    __device__ static void* address(Operand& operand, int line, int k) { return &operand[line][k]; }
    __device__ static int channel_of_line(int line) { return line; }
};

}  // namespace

void polarizer_v5(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                  const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    if (!launch_staged<WmmaTile, kStages>("polarizer_v5", shape, z, samples, maps, out))
        polarizer_v4(shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
