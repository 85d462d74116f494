// What the binary and the Python batches of CIFAR-10 have in common.
#pragma once

#include <cstdint>
#include <span>

#include "datasets/dataset.h"

namespace cnpd::datasets::cifar10 {

// Makes room for `count` more images and gives them size 32x32x3.
void append_empty(Images& images, std::int64_t count);

// planes [3,32,32] -> pixels [32,32,3]
void interleave(const std::uint8_t* planes, std::uint8_t* pixels);

}  // namespace cnpd::datasets::cifar10
