// Version 7: the copy engine. In version 6 each of 256 threads computes the addresses of eight
// copies for a chunk of 64 k, and issues them: 2,048 of 16 bytes. Here one warp issues at most 32
// instructions. Each names a box of the features (up to 64 rows of a sample) or of the map, and
// the hardware computes addresses, fills what is outside of the tensor with zeros and permutes the
// pieces of a line in the way that ldmatrix reads them. A thread knows that a chunk is there from
// a barrier in shared memory, which counts its bytes (boxed_product.h). Products, tiles, stages and
// the limit remain those of version 6.
//
// At C = 512 and 65,536 rows: operands of 0.54 GB from the L2 cache as before, 110 us on an H100.
// The gain is in what the model does not count, the schedulers' slots and the latency of a thread's
// address arithmetic. Prediction: 85 to 95 % of the limit, 265 to 295 TFLOP/s.
#include "kernels/polarizer/block_product.h"
#include "kernels/polarizer/versions/boxed_product.h"
#include "kernels/polarizer/versions/swizzled_tile.h"
#include "kernels/polarizer/versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kStages = 3;

struct WarpTile : SwizzledTile {
    static constexpr int kInFlight = 0;

    __device__ void add(const unsigned char* features, const unsigned char* map, bool) {
        SwizzledTile::add(*reinterpret_cast<const Operand*>(features),
                          *reinterpret_cast<const Operand*>(map));
    }
    __device__ void finish(const TileRows& rows, int column0, int channels, const float* bias,
                           bfloat16* out) const {
        Shared none;
        for_each(
            none, [&](int line) { return rows.place_of_line(line); },
            [&](int place, int column, const auto& sums) {
                const int c = column0 + column;
                if (place >= 0)
                    store_sums<kPack>(sums, bias ? bias + c : nullptr, kPack,
                                      out + std::int64_t{place} * channels + c);
            });
    }
};

}  // namespace

bool polarizer_v7_supports(const PolarizerShape& s, bool grouped) {
    static const bool runs = has_hopper_code(apply_maps_boxed<WarpTile, kStages>, "polarizer_v7");
    return runs && hopper_tiles::boxes_fit(s.channels, s.n * s.positions, s.positions, grouped);
}

void polarizer_v7(const PolarizerShape& shape, const bfloat16* z, const PolarizerSamples& samples,
                  const PolarizerMaps<bfloat16>& maps, bfloat16* out) {
    if (is_empty(shape)) return;
    if (!polarizer_v7_supports(shape, is_grouped(shape, samples)) ||
        !is_aligned(shape, z, maps, out))
        return polarizer_v6(shape, z, samples, maps, out);
    launch_boxed<WarpTile, kStages>("polarizer_v7", shape, z, samples, maps, out);
}

}  // namespace cnpd::kernels::cuda
