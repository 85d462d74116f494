#include <algorithm>

#include "kernels/common/channel_rows.h"
#include "kernels/embedding/embedding.h"

namespace cnpd::kernels::cpu {

void embedding_forward(const float* table, const std::int32_t* indices, std::int64_t count,
                       std::int64_t columns, float* y) {
    parallel_for(count, kElementGrain / std::max<std::int64_t>(columns, 1) + 1,
                 [=](std::int64_t first, std::int64_t last) {
                     for (std::int64_t i = first; i < last; ++i)
                         std::copy_n(table + indices[i] * columns, columns, y + i * columns);
                 });
}

void embedding_backward(const float* dy, const std::int32_t* indices, std::int64_t count,
                        std::int64_t rows, std::int64_t columns, float* dtable) {
    // A thread owns rows of the table and loops over all indices: sums do not depend on the number
    // of threads.
    //
    const std::int64_t work = std::max<std::int64_t>((count + rows) * columns, 1);
    const std::int64_t grain = std::max<std::int64_t>(kElementGrain * rows / work, 1);
    parallel_for(rows, grain, [=](std::int64_t first, std::int64_t last) {
        std::fill(dtable + first * columns, dtable + last * columns, 0.0f);
        for (std::int64_t i = 0; i < count; ++i) {
            if (indices[i] < first || indices[i] >= last) continue;
            const float* __restrict gradient = dy + i * columns;
            float* __restrict sum = dtable + indices[i] * columns;
#pragma omp simd
            for (std::int64_t c = 0; c < columns; ++c) sum[c] += gradient[c];
        }
    });
}

}  // namespace cnpd::kernels::cpu
