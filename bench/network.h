#pragma once
// The convolutions of PreAct-ResNet-18 on 32x32 images.
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/convolution/convolution.h"

namespace cnpd::bench {

struct Convolution {
    std::string name;
    int count;  // number of such layers in the network
    kernels::ConvolutionShape shape;
};

inline std::vector<Convolution> preact_resnet18(std::int64_t width, std::int64_t batch) {
    const auto layer = [&](std::int64_t size, std::int64_t c, std::int64_t k, std::int64_t window,
                           std::int64_t stride) {
        return kernels::ConvolutionShape{.n = batch,
                                         .h = size,
                                         .w = size,
                                         .c = c,
                                         .k = k,
                                         .r = window,
                                         .s = window,
                                         .stride = stride,
                                         .pad = window / 2};
    };
    std::vector<Convolution> all{{"stem", 1, layer(32, 3, width, 3, 1)}};
    for (int stage = 1; stage <= 4; ++stage) {
        const std::int64_t c = width << (stage - 1), size = 64 >> stage;
        const std::string here = std::to_string(stage), next = std::to_string(stage + 1);
        // Two blocks of two convolutions; from stage 2 on the first one is the downsampling one.
        all.push_back({"stage" + here, stage == 1 ? 4 : 3, layer(size, c, c, 3, 1)});
        if (stage == 4) break;
        all.push_back({"down" + next, 1, layer(size, c, 2 * c, 3, 2)});
        all.push_back({"shortcut" + next, 1, layer(size, c, 2 * c, 1, 2)});
    }
    return all;
}

}  // namespace cnpd::bench
