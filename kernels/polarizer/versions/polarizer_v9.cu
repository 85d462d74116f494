// Version 9: persistent blocks with specialised warps. In version 8 every tile copies its piece of
// the map again, which is half of what the L2 cache delivers, and all warps wait for the slowest at
// a barrier for each chunk, and for the first chunk and the epilogue of each tile. Here
// (persistent_product.h)
//
//   - a block stays for the whole batch, one per multiprocessor, and keeps its piece of the map
//     (128 channels, all k: 128 KB at C = 512) as long as the class stays the same;
//   - a warp that does nothing else copies features, up to six chunks ahead and across tiles. A
//     stage has a second barrier in shared memory, on which the warps that have multiplied it
//     arrive;
//   - two warpgroups compute alternate tiles of 128 rows: while one finishes its tile, the other
//     keeps the tensor cores busy. No barrier of the block is left in the loop.
//
// At C = 512 and 65,536 rows (batch 4096 of 4x4): 34.4 GFLOP and 0.134 GB of device memory, 43 and
// 45 us on an H100 (800 TFLOP/s of bfloat16 and 3 TB/s measured). Only features come from the L2
// cache, once for each piece of the map: 0.27 GB, 61 us with the results, instead of 110. Shared
// memory: 0.8 GB for products, 0.27 GB of copies, 40 us. Prediction: 80 to 90 % of the L2 cache's
// limit, 450 to 510 TFLOP/s. With classes: each ends with a partial tile (on average half of one is
// wasted), and its map is read by the blocks that have the class.
#include "kernels/polarizer/versions/persistent_product.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

struct Alone {
    static constexpr int kBlocks = 1;

    // The barriers in shared memory are initialised.
    __device__ static void begin() { __syncthreads(); }
    __device__ static void end() {}
    __device__ static int rank() { return 0; }
    __device__ static void copy_features(const hopper::TensorMap& features, int k, BoxPlace from,
                                         void* to, Barrier& full) {
        hopper::copy_box(features, k, from.position, from.sample, to, full);
    }
    __device__ static void release(Barrier& empty) {
        if (threadIdx.x % 32 == 0) hopper::arrive(empty);
    }
};

}  // namespace

bool polarizer_v9_supports(const PolarizerShape& s, bool grouped) {
    static const bool runs = has_hopper_code(persistent<Alone>, "polarizer_v9");
    return runs && hopper_tiles::map_fits(s.channels) &&
           hopper_tiles::boxes_fit(s.channels, s.n * s.positions, s.positions, grouped);
}

void polarizer_v9(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                  const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    if (is_empty(shape)) return;
    if (!polarizer_v9_supports(shape, is_grouped(shape, samples)) ||
        !is_aligned(shape, z, maps, out))
        return polarizer_v6(shape, z, samples, maps, out);
    launch_persistent<Alone>("polarizer_v9", shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
