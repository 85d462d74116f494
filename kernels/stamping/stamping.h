// Stamps a backdoor's trigger on a batch of images. The triggers of BadNets, Blended and SIG have
// the same form: a scaled pixel plus a value that depends on its place.
//
//     out[n,i] = clamp(keep * image[n,i] + added[i])
//
// BadNets adds white in a corner, Blended adds its share of a pattern to the rest of the image, SIG
// adds a wave.
#pragma once

#include <cstdint>

#include "kernels/common/backend.h"

namespace cnpd::kernels {

struct StampShape {
    std::int64_t n = 0;
    std::int64_t values = 0;  // of an image, H*W*C
};

// images uint8 [N,H,W,C], levels [256] = the scaled value of each grey level, added [H,W,C] in grey
// levels: out = trunc(clamp(levels[image] + added, 0, 255)). A single sum in double, with the
// products in the tables, gives the same bytes on every backend. out may be images.
CNPD_KERNEL(void stamp_bytes(const StampShape& shape, const std::uint8_t* images,
                             const double* levels, const double* added, std::uint8_t* out))

}  // namespace cnpd::kernels
