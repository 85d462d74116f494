#include <vector>

#include "kernels/embedding/embedding.h"

namespace cnpd::kernels::reference {

void embedding_forward(const float* table, const std::int32_t* indices, std::int64_t count,
                       std::int64_t columns, float* y) {
    for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t c = 0; c < columns; ++c)
            y[i * columns + c] = table[indices[i] * columns + c];
}

void embedding_backward(const float* dy, const std::int32_t* indices, std::int64_t count,
                        std::int64_t rows, std::int64_t columns, float* dtable) {
    std::vector<double> sums(rows * columns, 0.0);
    for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t c = 0; c < columns; ++c)
            sums[indices[i] * columns + c] += dy[i * columns + c];
    for (std::int64_t k = 0; k < rows * columns; ++k) dtable[k] = static_cast<float>(sums[k]);
}

}  // namespace cnpd::kernels::reference
