// Batches of a data set that lives on the device as uint8.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "datasets/dataset.h"
#include "engine/tensor.h"

namespace cnpd::datasets {

// Which random crop and flip an image gets. The draw depends on the seed, the epoch and the image's
// index alone, not on its batch.
struct Augmentation {
    std::int64_t crop_padding = 0;
    bool flip = false;
    std::uint64_t seed = 0, epoch = 0;
};

// Images on a device and how a network's input is made of them.
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

    // The normalised input of these images, [count,H,W,C]; indices in [0, size()).
    engine::Tensor input(std::span<const std::int32_t> indices,
                         const std::optional<Augmentation>& augmentation = {}) const;
    // Their pixels in [0,1], [count,H,W,C].
    engine::Tensor pixels(std::span<const std::int32_t> indices,
                          const std::optional<Augmentation>& augmentation = {}) const;
    // int32 [count]
    engine::Tensor labels(std::span<const std::int32_t> indices) const;

  private:
    engine::Tensor gather(std::span<const std::int32_t> indices,
                          const std::optional<Augmentation>& augmentation, bool normalise) const;

    engine::Tensor images_;  // uint8 [N,H,W,C]
    engine::Tensor mean_, inverse_std_;
    std::vector<std::int32_t> host_labels_;
};

// The batches of one epoch: a permutation of 0 .. count-1 that depends on seed and epoch alone, cut
// into pieces of batch_size. The last, incomplete piece is dropped, as is usual in training, unless
// it is the only one.
class EpochOrder {
  public:
    EpochOrder(std::int64_t count, std::int64_t batch_size, std::uint64_t seed,
               std::uint64_t epoch);
    std::int64_t batches() const { return batches_; }
    std::span<const std::int32_t> batch(std::int64_t index) const;
    static std::int64_t batches_of(std::int64_t count, std::int64_t batch_size);

  private:
    std::vector<std::int32_t> order_;
    std::int64_t batch_size_, batches_;
};

}  // namespace cnpd::datasets
