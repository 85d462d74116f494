#include <algorithm>
#include <cmath>

#include "cnpd/defenses/polarizing/polarizers/polarizer.h"
#include "engine/ops.h"
#include "kernels/common/error.h"

namespace cnpd::polarizers {

FeatureStatisticsCollector::FeatureStatisticsCollector(std::int64_t classes, std::int64_t channels)
    : classes_(classes),
      channels_(channels),
      sum_(classes * channels),
      sum_of_squares_(classes * channels),
      images_(classes),
      positions_(classes) {}

void FeatureStatisticsCollector::add(const Tensor& z, const Tensor& predictions) {
    CNPD_CHECK_SHAPE(z.shape().rank() == 4 && z.shape()[3] == channels_ &&
                         predictions.elements() == z.shape()[0],
                     "features and predictions have different sizes");
    const std::vector<float> features =
        engine::ops::cast(z, engine::DType::float32).to_host<float>();
    const std::vector<std::int32_t> classes = predictions.to_host<std::int32_t>();
    const std::int64_t positions = z.shape()[1] * z.shape()[2];
    const float* value = features.data();
    for (const std::int32_t y : classes) {
        double *sum = &sum_[y * channels_], *squares = &sum_of_squares_[y * channels_];
        for (std::int64_t p = 0; p < positions; ++p)
            for (std::int64_t c = 0; c < channels_; ++c, ++value) {
                sum[c] += *value;
                squares[c] += static_cast<double>(*value) * *value;
            }
        ++images_[y];
        positions_[y] += positions;
    }
}

FeatureStatistics FeatureStatisticsCollector::finish() const {
    FeatureStatistics s{.classes = classes_,
                        .channels = channels_,
                        .mean = std::vector<float>(sum_.size()),
                        .variance = std::vector<float>(sum_.size()),
                        .global_mean = std::vector<float>(channels_),
                        .global_variance = std::vector<float>(channels_),
                        .count = images_};
    const auto moments = [](double sum, double squares, std::int64_t count, float& mean,
                            float& variance) {
        const double n = static_cast<double>(std::max<std::int64_t>(count, 1)), m = sum / n;
        mean = static_cast<float>(m);
        variance = static_cast<float>(std::max(squares / n - m * m, 0.0));
    };
    for (std::int64_t c = 0; c < channels_; ++c) {
        double sum = 0, squares = 0;
        std::int64_t count = 0;
        for (std::int64_t y = 0; y < classes_; ++y) {
            sum += sum_[y * channels_ + c];
            squares += sum_of_squares_[y * channels_ + c];
            count += positions_[y];
        }
        moments(sum, squares, count, s.global_mean[c], s.global_variance[c]);
        for (std::int64_t y = 0; y < classes_; ++y) {
            const std::int64_t i = y * channels_ + c;
            moments(positions_[y] ? sum_[i] : sum, positions_[y] ? sum_of_squares_[i] : squares,
                    positions_[y] ? positions_[y] : count, s.mean[i], s.variance[i]);
        }
    }
    return s;
}

FeatureStatistics FeatureStatistics::shared() const {
    FeatureStatistics same = *this;
    for (std::int64_t y = 0; y < classes; ++y) {
        std::copy(global_mean.begin(), global_mean.end(), same.mean.begin() + y * channels);
        std::copy(global_variance.begin(), global_variance.end(),
                  same.variance.begin() + y * channels);
    }
    return same;
}

namespace {

Calibration identity_on(const std::vector<float>& mean, std::vector<float> variance, float eps) {
    constexpr float kMinimumVariance = 1e-4f;  // channels that are nearly always zero
    std::vector<float> gamma(variance.size());
    for (std::size_t i = 0; i < variance.size(); ++i) {
        variance[i] += kMinimumVariance;
        gamma[i] = std::sqrt(variance[i] + eps);
    }
    return {mean, std::move(variance), std::move(gamma)};
}

}  // namespace

Calibration calibration(const FeatureStatistics& statistics, float eps) {
    return identity_on(statistics.global_mean, statistics.global_variance, eps);
}

Calibration calibration_by_class(const FeatureStatistics& statistics, float eps) {
    return identity_on(statistics.mean, statistics.variance, eps);
}

void set(const Calibration& start, BatchNormTensors norm) {
    const auto copy = [](const std::vector<float>& values, Tensor& tensor) {
        tensor.copy_from(Tensor::from(values, tensor.shape(), tensor.device()));
    };
    copy(start.gamma, norm.gamma);
    copy(start.mean, norm.beta);
    copy(start.mean, norm.mean);
    copy(start.variance, norm.variance);
}

Tensor identity_maps(std::int64_t maps, std::int64_t channels, engine::Device device) {
    std::vector<float> values(maps * channels * channels);
    for (std::int64_t i = 0; i < maps * channels; ++i) values[i * channels + i % channels] = 1;
    return Tensor::from(values, {maps, channels, channels}, device);
}

}  // namespace cnpd::polarizers
