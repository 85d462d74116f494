#include "kernels/polarizer/inference.h"

namespace cnpd::kernels::reference {
namespace {

template <typename T>
void infer(const PolarizerShape& shape, const T* z, const std::int32_t* labels,
           const float* weights, bool accumulate, const T* a, const float* b, T* out) {
    const std::int64_t channels = shape.channels;
    for (std::int64_t row = 0; row < shape.n * shape.positions; ++row) {
        const std::int64_t n = row / shape.positions, label = labels ? labels[n] : 0;
        for (std::int64_t i = 0; i < channels; ++i) {
            double sum = b[label * channels + i];
            for (std::int64_t j = 0; j < channels; ++j)
                sum += double{a[(label * channels + i) * channels + j]} * z[row * channels + j];
            if (weights) sum *= weights[n];
            T& target = out[row * channels + i];
            if (accumulate) sum += target;
            target = static_cast<T>(static_cast<float>(sum));
        }
    }
}

}  // namespace

void polarizer_inference(const PolarizerShape& shape, const float* z, const std::int32_t* labels,
                         const float* weights, bool accumulate, const float* a, const float* b,
                         float* out) {
    infer(shape, z, labels, weights, accumulate, a, b, out);
}

void polarizer_inference_bf16(const PolarizerShape& shape, const bfloat16* z,
                              const std::int32_t* labels, const float* weights, bool accumulate,
                              const bfloat16* a, const float* b, bfloat16* out) {
    infer(shape, z, labels, weights, accumulate, a, b, out);
}

}  // namespace cnpd::kernels::reference
