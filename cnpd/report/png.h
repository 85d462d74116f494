// PNG without compression, until datasets/image.h can write it.
#pragma once

#include <cstdint>
#include <vector>

namespace cnpd::report {

struct Image;

std::vector<std::uint8_t> encode_png(const Image& image);

}  // namespace cnpd::report
