#include "kernels/embedding/embedding.h"

#include "kernels/common/row_grid.h"
#include "kernels/common/vector_access.h"
#include "kernels/common/warp_reduce.h"

namespace cnpd::kernels::cuda {
namespace {

constexpr int kWarp = 32;

// 8 bytes per element of y, 4 if the table stays in the cache.
template <int Width>
__global__ void gather_rows(const float* table, const std::int32_t* indices, std::int64_t count,
                            std::int64_t columns, float* y) {
    for (std::int64_t c = Width * threadIdx.x; c < columns; c += Width * blockDim.x)
        for (std::int64_t i = first_row(); i < count; i += rows_at_once())
            store(y + i * columns + c, load<Width>(table + indices[i] * columns + c));
}

// A warp handles 32 columns of one row of the table and searches all indices for that row, 32 at a
// time. No other warp adds to it and the order is that of the indices, so neither atomics nor a
// sort are needed. 4 bytes per element of dy, and 4 (from the cache) per index and warp, which is
// little for a small table with one row for each class.
__global__ void sum_by_index(const float* dy, const std::int32_t* indices, std::int64_t count,
                             std::int64_t rows, std::int64_t columns, float* dtable) {
    const int lane = threadIdx.x % kWarp;
    const std::int64_t tiles = (columns + kWarp - 1) / kWarp;
    for (std::int64_t warp = first_element() / kWarp; warp < rows * tiles;
         warp += elements_at_once() / kWarp) {
        const std::int64_t row = warp / tiles, column = warp % tiles * kWarp + lane;
        float sum = 0;
        for (std::int64_t first = 0; first < count; first += kWarp) {
            const std::int64_t mine = first + lane;
            unsigned found = __ballot_sync(kAllLanes, mine < count && indices[mine] == row);
            for (; found != 0; found &= found - 1) {
                const std::int64_t i = first + __ffs(static_cast<int>(found)) - 1;
                if (column < columns) sum += dy[i * columns + column];
            }
        }
        if (column < columns) dtable[row * columns + column] = sum;
    }
}

}  // namespace

void embedding_forward(const float* table, const std::int32_t* indices, std::int64_t count,
                       std::int64_t columns, float* y) {
    if (count == 0 || columns == 0) return;
    const int width = widest_access_of_rows(columns, table, y);
    launch(rows_shape("embedding_forward", count, columns / width),
           width == 4 ? gather_rows<4> : gather_rows<1>, table, indices, count, columns, y);
}

void embedding_backward(const float* dy, const std::int32_t* indices, std::int64_t count,
                        std::int64_t rows, std::int64_t columns, float* dtable) {
    if (rows == 0 || columns == 0) return;
    const std::int64_t warps = rows * ((columns + kWarp - 1) / kWarp);
    launch(elements_shape("embedding_backward", warps * kWarp), sum_by_index, dy, indices, count,
           rows, columns, dtable);
}

}  // namespace cnpd::kernels::cuda
