// Shared code for CIFAR-10's binary and Python batches.
#pragma once

#include <cstdint>
#include <span>

#include "datasets/dataset.h"

namespace cnpd::datasets::cifar10 {

// Appends `count` black images of 32x32x3 with label 0.
void append_empty(Images& images, std::int64_t count);

// planes [3,32,32] -> pixels [32,32,3]
void interleave(const std::uint8_t* planes, std::uint8_t* pixels);

}  // namespace cnpd::datasets::cifar10
