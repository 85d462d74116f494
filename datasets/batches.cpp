#include "datasets/batches.h"

#include <algorithm>

#include <fmt/format.h>

#include "datasets/streams.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "kernels/augmentation/augmentation.h"

namespace cnpd::datasets {

using engine::DType;
using engine::Tensor;

BatchSource::BatchSource(const Images& images, const std::vector<float>& mean,
                         const std::vector<float>& std, engine::Device device)
    : host_labels_(images.labels) {
    CNPD_CHECK_SHAPE(static_cast<std::int64_t>(images.labels.size()) == images.n &&
                         static_cast<std::int64_t>(mean.size()) == images.c &&
                         mean.size() == std.size(),
                     "the sizes of images, labels and normalisation do not match");
    images_ = Tensor::from(images.pixels, {images.n, images.h, images.w, images.c}, device);
    std::vector<float> inverse(std.size());
    std::transform(std.begin(), std.end(), inverse.begin(), [](float s) { return 1 / s; });
    mean_ = Tensor::from(mean, {images.c}, device);
    inverse_std_ = Tensor::from(inverse, {images.c}, device);
    std::vector<float> shift(mean.size());
    std::transform(mean.begin(), mean.end(), inverse.begin(), shift.begin(),
                   [](float m, float i) { return -m * i; });
    shift_ = Tensor::from(shift, {images.c}, device);
}

Tensor BatchSource::input(std::span<const std::int32_t> indices,
                          const std::optional<Augmentation>& augmentation) const {
    return gather(upload(indices), augmentation, true);
}

Tensor BatchSource::pixels(std::span<const std::int32_t> indices,
                           const std::optional<Augmentation>& augmentation) const {
    return gather(upload(indices), augmentation, false);
}

Tensor BatchSource::input(const Tensor& indices,
                          const std::optional<Augmentation>& augmentation) const {
    return gather(indices, augmentation, true);
}

Tensor BatchSource::pixels(const Tensor& indices,
                           const std::optional<Augmentation>& augmentation) const {
    return gather(indices, augmentation, false);
}

Tensor BatchSource::upload(std::span<const std::int32_t> indices) const {
    for (const std::int32_t index : indices)
        CNPD_CHECK(index >= 0 && index < size(), fmt::format("image {} of {}", index, size()));
    return Tensor::from(indices, {static_cast<std::int64_t>(indices.size())}, device());
}

Tensor BatchSource::normalise(const Tensor& pixels) const {
    return engine::ops::channel_affine(pixels, inverse_std_, shift_);
}

Tensor BatchSource::gather(const Tensor& indices, const std::optional<Augmentation>& augmentation,
                           bool normalise) const {
    const engine::Shape& shape = images_.shape();
    const std::int64_t count = indices.elements();
    const Augmentation draw = augmentation.value_or(Augmentation{});
    const kernels::Augmentation settings{
        .h = shape[1],
        .w = shape[2],
        .c = shape[3],
        .crop_padding = draw.crop_padding,
        .flip = draw.flip,
        .seed = draw.seed,
        .epoch = draw.epoch,
        .mean = normalise ? mean_.data<float>() : nullptr,
        .inverse_std = normalise ? inverse_std_.data<float>() : nullptr};
    Tensor batch = Tensor::empty({count, shape[1], shape[2], shape[3]}, DType::float32, device());
    CNPD_RUN(device(), augment, settings, images_.data<std::uint8_t>(),
             indices.data<std::int32_t>(), count, batch.data<float>());
    return batch;
}

Tensor BatchSource::labels(std::span<const std::int32_t> indices) const {
    std::vector<std::int32_t> labels;
    labels.reserve(indices.size());
    for (const std::int32_t index : indices) labels.push_back(host_labels_.at(index));
    return Tensor::from(labels, {static_cast<std::int64_t>(labels.size())}, device());
}

std::int64_t EpochOrder::batches_of(std::int64_t count, std::int64_t batch_size) {
    return std::max<std::int64_t>(count / batch_size, count > 0 ? 1 : 0);
}

EpochOrder::EpochOrder(std::int64_t count, std::int64_t batch_size, std::uint64_t seed,
                       std::uint64_t epoch)
    : order_(engine::Generator(seed, streams::kOrder + epoch).permutation(count)),
      batch_size_(batch_size),
      batches_(batches_of(count, batch_size)) {}

Epoch::Epoch(const BatchSource& source, std::int64_t batch_size, std::uint64_t seed,
             std::uint64_t number)
    : order_(source.size(), batch_size, seed, number),
      batch_size_(batch_size),
      number_(number),
      indices_(source.upload(order_.images())),
      labels_(source.labels(order_.images())) {}

Tensor Epoch::slice(const Tensor& of_images, std::int64_t batch) const {
    return of_images.rows(batch * batch_size_,
                          static_cast<std::int64_t>(order_.batch(batch).size()));
}

std::span<const std::int32_t> EpochOrder::batch(std::int64_t index) const {
    const auto first = static_cast<std::size_t>(index * batch_size_);
    return std::span(order_).subspan(
        first, std::min(order_.size() - first, static_cast<std::size_t>(batch_size_)));
}

}  // namespace cnpd::datasets
