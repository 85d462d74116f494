// From a uint8 data set to a float batch: gather, random crop, random flip and normalisation in one
// pass.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct Augmentation {
    std::int64_t h = 0, w = 0, c = 0;
    // Random crop: the image is padded with zeros (before normalisation) by this many pixels on
    // each side, and a window of the original size is cut out at a uniform offset. 0: no crop.
    std::int64_t crop_padding = 0;
    bool flip = false;                   // horizontal, with probability 1/2
    std::uint64_t seed = 0;              // key of the draws; image j uses draw j of
    std::uint64_t epoch = 0;             // stream `epoch`, independently of its batch
    const float* mean = nullptr;         // [C], of pixels in [0,1]; null: 0
    const float* inverse_std = nullptr;  // [C]; null: 1
};

// batch [count,H,W,C]: batch[i] = (augmented images[indices[i]] / 255 - mean) * inverse_std, images
// uint8 [?,H,W,C]. A padded pixel is (0 - mean) * inverse_std, as when PyTorch pads before
// normalising. Draws of image index j: v = philox(seed, epoch, j).v; row offset =
// below_from_bits(v[0], 2p+1), column offset = below_from_bits(v[1], 2p+1), flipped if v[2] & 1.
CNPD_KERNEL(void augment(const Augmentation& settings, const std::uint8_t* images,
                         const std::int32_t* indices, std::int64_t count, float* batch))

}  // namespace cnpd::kernels
