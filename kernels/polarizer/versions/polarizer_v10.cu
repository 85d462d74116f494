// Version 10: clusters. Two neighbouring blocks have the same rows and different channels. In
// version 9 both read all features of these rows from the L2 cache. As a cluster each copies half
// of the rows to the shared memory of both (a multicast), so that every feature is read from the
// L2 cache C/256 times. The price: a stage may be overwritten when the warps of both blocks have
// multiplied it, and a block has to stay until its neighbour needs it no more.
//
// At C = 512 and 65,536 rows: 0.134 GB of L2 reads, 37 us with the results on an H100, instead
// of 61. Arithmetic (43 us at 800 TFLOP/s) and device memory (45 us at 3 TB/s; 31 on an H200
// with 4.3 TB/s) are the limits, and shared memory is close: wgmma m64n128k16 reads 6 KB in the 64
// clocks that it takes, and the copies write 2 KB in that time, all of the 8 KB that it delivers.
// Prediction: 80 to 85 % of the roofline, 610 to 650 TFLOP/s, twice version 6.
#include "kernels/polarizer/versions/persistent_product.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

struct Pair {
    static constexpr int kBlocks = 2;

    // The barriers of both blocks are initialised.
    __device__ static void begin() { hopper::cluster_barrier(); }
    // A block stays until its neighbour has sent all data that it waits for, and vice versa.
    __device__ static void end() { hopper::cluster_barrier(); }
    __device__ static int rank() { return static_cast<int>(hopper::block_of_cluster()); }
    __device__ static void copy_features(const hopper::TensorMap& features, int k, BoxPlace from,
                                         void* to, Barrier& full) {
        hopper::copy_box_to((1u << kBlocks) - 1, features, k, from.position, from.sample, to, full);
    }
    // Both blocks write to both, so both wait for the readers of both.
    __device__ static void release(Barrier& empty) {
        if (const unsigned lane = threadIdx.x % 32; lane < kBlocks) hopper::arrive_at(empty, lane);
    }
};

}  // namespace

bool polarizer_v10_supports(const PolarizerShape& s, bool grouped) {
    return polarizer_v9_supports(s, grouped) && s.channels / hopper_tiles::kColumns % 2 == 0;
}

void polarizer_v10(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                   const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    if (is_empty(shape)) return;
    if (!polarizer_v10_supports(shape, is_grouped(shape, samples)) ||
        !is_aligned(shape, z, maps, out))
        return polarizer_v9(shape, z, samples, maps, out);
    launch_persistent<Pair>("polarizer_v10", shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
