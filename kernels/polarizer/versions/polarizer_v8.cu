// Version 8: products from shared memory. mma.sync needs its operands in registers: a warp of
// version 7 loads 3 KB with ldmatrix for 64 x 32 x 16 products. wgmma reads them from shared memory
// itself, for four warps at once: 6 KB for 64 x 128 x 16, half as much for a product, and no
// registers but the sums. It is asynchronous: a warpgroup starts a chunk's products, and waits for
// those of the chunk before, whose stage then is free for the next copy. Two warpgroups have 64
// rows of the tile each. Only wgmma reaches the full rate of Hopper's tensor cores; mma.sync about
// 60 %.
//
// At C = 512 and 65,536 rows: 0.8 GB of operands from shared memory and 0.5 GB of copies to it,
// with the stores 50 us on an H100 instead of 78. The limit is now far away: operands from the L2
// cache, 110 us as before. Prediction: 90 to 95 % of it, 280 to 295 TFLOP/s.
#include "kernels/polarizer/versions/boxed_product.h"
#include "kernels/polarizer/versions/versions.h"
#include "kernels/polarizer/versions/wgmma_sums.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kStages = 3;

class WarpgroupTile {
  public:
    static constexpr int kInFlight = 1;

    __device__ void clear() {}  // the first product does not add
    __device__ void add(const unsigned char* features, const unsigned char* map, bool first) {
        start_products(sum_, features + line0() * hopper_tiles::kLineBytes, map, !first);
        hopper::wait_for_products<kInFlight>();
    }
    __device__ void finish(const TileRows& rows, int column0, int channels, const float* bias,
                           bfloat16* out) {
        hopper::wait_for_products<0>();
        hopper::use_after_wait(sum_[0]);
        finish_tile(sum_, MyRows<1>(rows, line0()), bias ? bias + column0 : nullptr, channels,
                    out + column0);
    }

  private:
    // Of this warpgroup's rows.
    __device__ static int line0() {
        return static_cast<int>(threadIdx.x) / kWarpgroup * kGroupRows;
    }

    float sum_[1][64];
};

}  // namespace

bool polarizer_v8_supports(const PolarizerShape& s, bool grouped) {
    static const bool runs =
        has_hopper_code(apply_maps_boxed<WarpgroupTile, kStages>, "polarizer_v8");
    return runs && hopper_tiles::boxes_fit(s.channels, s.n * s.positions, s.positions, grouped);
}

void polarizer_v8(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                  const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    if (is_empty(shape)) return;
    if (!polarizer_v8_supports(shape, is_grouped(shape, samples)) ||
        !is_aligned(shape, z, maps, out))
        return polarizer_v6(shape, z, samples, maps, out);
    launch_boxed<WarpgroupTile, kStages>("polarizer_v8", shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
