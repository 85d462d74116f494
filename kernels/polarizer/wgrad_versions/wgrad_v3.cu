// Versions 3 and 4, in float32.
//
// Version 3: tiles in registers, 16 bytes per access. A block computes 128 by 128 elements of da, a
// thread 8 by 8 of them (float_tile.h). Both operands have k, the row, outermost in memory as in
// the tile: nothing is transposed, and there are no bank conflicts. Each block goes through all
// rows of all classes (sums_over_rows.h with one part).
//
// On a full GPU the arithmetic units would be busy all the time, as in the forward's version 3. But
// da of 512 channels has 16 tiles for 132 multiprocessors. Prediction: 12 % of 70 to 80 % of the
// peak, slower than version 2.
//
// Version 4: the rows are cut into parts, and a second kernel adds the parts' sums in their order.
// With 16 parts there are 256 blocks, two for each of 128 multiprocessors. It costs parts C^2
// floats, written and read: 34 MB at C = 512 and 16 parts, beside 1.1 GB of operands from the L2
// cache. Prediction: limited by float32 arithmetic, 70 to 80 % of its peak, 8 times version 3.
#include "kernels/polarizer/float_tile.h"
#include "kernels/polarizer/sums_over_rows.h"
#include "kernels/polarizer/wgrad_versions/versions.h"

namespace cnpd::kernels::cuda {
namespace {

void run(const char* name, const PolarizerShape& shape, const float* z, const float* dout,
         const PolarizerSamples& samples, float* da, float* db, int parts) {
    const auto start = rows_are_aligned<float>(shape.channels, {z, dout, da})
                           ? launch_sums_over_rows<FloatTile, 4, Plain<float>, float>
                           : launch_sums_over_rows<FloatTile, 1, Plain<float>, float>;
    start(name, shape, samples, Plain<float>{dout}, z, da, db, parts);
}

}  // namespace

void polarizer_wgrad_v3(const PolarizerShape& shape, const float* z, const float* dout,
                        const PolarizerSamples& samples, float* da, float* db, int) {
    run("polarizer_wgrad_v3", shape, z, dout, samples, da, db, 1);
}

void polarizer_wgrad_v4(const PolarizerShape& shape, const float* z, const float* dout,
                        const PolarizerSamples& samples, float* da, float* db, int parts) {
    run("polarizer_wgrad_v4", shape, z, dout, samples, da, db, parts);
}

}  // namespace cnpd::kernels::cuda
