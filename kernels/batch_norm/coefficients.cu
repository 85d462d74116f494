// One thread per channel. These kernels handle a few kilobytes, so their cost is the launch; they
// avoid a wait for the host.
#include "kernels/batch_norm/coefficients.h"

#include "kernels/common/grid.h"

namespace cnpd::kernels::cuda {
namespace {

__global__ void coefficients(const float* mean, const float* variance, const float* gamma,
                             const float* beta, float eps, float* inv_std, float* scale,
                             float* shift, std::int64_t channels) {
    for (std::int64_t i = first_element(); i < channels; i += elements_at_once()) {
        const float inverse = 1.0f / sqrtf(variance[i] + eps);
        inv_std[i] = inverse;
        scale[i] = gamma[i] * inverse;
        shift[i] = beta[i] - mean[i] * (gamma[i] * inverse);
    }
}

__global__ void inverse_std(const float* variance, float eps, float* inv_std,
                            std::int64_t channels) {
    for (std::int64_t i = first_element(); i < channels; i += elements_at_once())
        inv_std[i] = 1.0f / sqrtf(variance[i] + eps);
}

__global__ void update_running(float unbiased, const float* mean, const float* variance,
                               float momentum, float* running_mean, float* running_variance,
                               std::int64_t* batches, std::int64_t channels) {
    if (batches && first_element() == 0) ++*batches;
    for (std::int64_t i = first_element(); i < channels; i += elements_at_once()) {
        running_mean[i] += momentum * (mean[i] - running_mean[i]);
        running_variance[i] += momentum * (variance[i] * unbiased - running_variance[i]);
    }
}

__global__ void backward_coefficients(float inverse_rows, const float* mean, const float* inv_std,
                                      const float* scale, const float* sum_g, float* sum_gx,
                                      float* b, float* c, std::int64_t channels) {
    for (std::int64_t i = first_element(); i < channels; i += elements_at_once()) {
        const float slope = -scale[i] * inv_std[i] * inv_std[i] * sum_gx[i] * inverse_rows;
        b[i] = slope;
        c[i] = -scale[i] * sum_g[i] * inverse_rows - slope * mean[i];
        sum_gx[i] *= inv_std[i];
    }
}

}  // namespace

void batch_norm_coefficients(std::int64_t channels, const float* mean, const float* variance,
                             const float* gamma, const float* beta, float eps, float* inv_std,
                             float* scale, float* shift) {
    launch_elements("batch_norm_coefficients", channels, coefficients, mean, variance, gamma, beta,
                    eps, inv_std, scale, shift);
}

void batch_norm_inverse_std(std::int64_t channels, const float* variance, float eps,
                            float* inv_std) {
    launch_elements("batch_norm_inverse_std", channels, inverse_std, variance, eps, inv_std);
}

void batch_norm_update_running(std::int64_t channels, std::int64_t rows, const float* mean,
                               const float* variance, float momentum, float* running_mean,
                               float* running_variance, std::int64_t* batches) {
    const float unbiased = static_cast<float>(rows) / static_cast<float>(rows > 1 ? rows - 1 : 1);
    // At least one thread: batches are counted even with no channels.
    launch(elements_shape("batch_norm_update_running", std::max<std::int64_t>(channels, 1)),
           update_running, unbiased, mean, variance, momentum, running_mean, running_variance,
           batches, channels);
}

void batch_norm_backward_coefficients(std::int64_t channels, std::int64_t rows, const float* mean,
                                      const float* inv_std, const float* scale, const float* sum_g,
                                      float* sum_gx, float* b, float* c) {
    launch_elements("batch_norm_backward_coefficients", channels, backward_coefficients,
                    1.0f / static_cast<float>(rows), mean, inv_std, scale, sum_g, sum_gx, b, c);
}

}  // namespace cnpd::kernels::cuda
