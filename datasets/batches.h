// Batches of a data set that is stored on the device as uint8.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "datasets/dataset.h"
#include "engine/tensor.h"

namespace cnpd::datasets {

// Random crop and flip. The draw for an image depends only on the seed, the epoch and the image's
// index, not on its batch.
struct Augmentation {
    std::int64_t crop_padding = 0;
    bool flip = false;
    std::uint64_t seed = 0, epoch = 0;
};

// Images on a device, and the network input made from them.
class BatchSource {
  public:
    // mean and std per channel, of pixels in [0,1].
    BatchSource(const Images& images, const std::vector<float>& mean, const std::vector<float>& std,
                engine::Device device);

    std::int64_t size() const { return images_.shape()[0]; }
    engine::Device device() const { return images_.device(); }
    const std::vector<std::int32_t>& host_labels() const { return host_labels_; }
    const engine::Tensor& mean() const { return mean_; }                // [C]
    const engine::Tensor& inverse_std() const { return inverse_std_; }  // [C]

    // The normalised network input of these images, [count,H,W,C]; indices in [0, size()).
    engine::Tensor input(std::span<const std::int32_t> indices,
                         const std::optional<Augmentation>& augmentation = {}) const;
    // Their pixels in [0,1], [count,H,W,C].
    engine::Tensor pixels(std::span<const std::int32_t> indices,
                          const std::optional<Augmentation>& augmentation = {}) const;
    // int32 [count]
    engine::Tensor labels(std::span<const std::int32_t> indices) const;

    // The same for indices that are already on the device, int32 [count]. They are not validated.
    engine::Tensor input(const engine::Tensor& indices,
                         const std::optional<Augmentation>& augmentation = {}) const;
    engine::Tensor pixels(const engine::Tensor& indices,
                          const std::optional<Augmentation>& augmentation = {}) const;

    // Validates indices and copies them to the device.
    engine::Tensor upload(std::span<const std::int32_t> indices) const;

    // The normalised network input of pixels in [0,1], [count,H,W,C]. Copies nothing to or from the
    // host.
    engine::Tensor normalise(const engine::Tensor& pixels) const;

  private:
    engine::Tensor gather(const engine::Tensor& indices,
                          const std::optional<Augmentation>& augmentation, bool normalise) const;

    engine::Tensor images_;                      // uint8 [N,H,W,C]
    engine::Tensor mean_, inverse_std_, shift_;  // shift_ = -mean / std
    std::vector<std::int32_t> host_labels_;
};

// The batches of one epoch: a permutation of 0 .. count-1 that depends only on seed and epoch,
// split into batches of batch_size. An incomplete last batch is dropped, as is usual in training,
// unless it is the only one.
class EpochOrder {
  public:
    EpochOrder(std::int64_t count, std::int64_t batch_size, std::uint64_t seed,
               std::uint64_t epoch);
    std::int64_t batches() const { return batches_; }
    std::span<const std::int32_t> batch(std::int64_t index) const;
    // All images, in the order of the batches.
    std::span<const std::int32_t> images() const { return order_; }
    static std::int64_t batches_of(std::int64_t count, std::int64_t batch_size);

  private:
    std::vector<std::int32_t> order_;
    std::int64_t batch_size_, batches_;
};

// The batches of one epoch of a source. Indices and labels are copied to the device once for the
// whole epoch, so that steps do not wait for copies.
class Epoch {
  public:
    Epoch(const BatchSource& source, std::int64_t batch_size, std::uint64_t seed,
          std::uint64_t number);

    std::uint64_t number() const { return number_; }
    const EpochOrder& order() const { return order_; }
    // Of a batch's images, int32 [count].
    engine::Tensor indices(std::int64_t batch) const { return slice(indices_, batch); }
    engine::Tensor labels(std::int64_t batch) const { return slice(labels_, batch); }
    // A batch's rows of a tensor that has one row for each of order().images().
    engine::Tensor slice(const engine::Tensor& of_images, std::int64_t batch) const;

  private:
    EpochOrder order_;
    std::int64_t batch_size_;
    std::uint64_t number_;
    engine::Tensor indices_, labels_;
};

}  // namespace cnpd::datasets
