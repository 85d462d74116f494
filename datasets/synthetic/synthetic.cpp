#include "datasets/synthetic/synthetic.h"

#include <iterator>

#include "datasets/synthetic/scene.h"
#include "datasets/synthetic/signs.h"
#include "kernels/common/parallel.h"

namespace cnpd::datasets::synthetic {
namespace {

Images draw_all(std::uint64_t seed, Split split, std::int64_t count) {
    constexpr std::int64_t kBytes = kSize * kSize * 3;
    Images images{.n = count, .h = kSize, .w = kSize, .c = 3};
    images.pixels.resize(count * kBytes);
    images.labels.resize(count);
    kernels::parallel_for(count, 16, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
            images.labels[i] = static_cast<std::int32_t>(i % kClasses);
            draw(seed, split, i,
                 std::span<std::uint8_t, kBytes>(images.pixels.data() + i * kBytes, kBytes));
        }
    });
    return images;
}

}  // namespace

void draw(std::uint64_t seed, Split split, std::int64_t index,
          std::span<std::uint8_t, kSize * kSize * 3> pixels) {
    const std::uint64_t stream =
        std::uint64_t{static_cast<std::uint32_t>(split)} << 56 | static_cast<std::uint64_t>(index);
    Random random(seed, stream);
    Picture picture;
    const auto label = static_cast<std::int32_t>(index % kClasses);
    paint_background(random, picture);
    const Pose pose = draw_pose(random);
    paint_sign(random, pose, label, picture);
    paint_obstacles(random, pose, picture);
    photograph(random, picture, pixels);
}

Dataset generate(const Options& options) {
    Dataset set;
    set.name = "synthetic";
    set.class_names.assign(std::begin(kClassNames), std::end(kClassNames));
    set.train = draw_all(options.seed, Split::train, options.train);
    set.test = draw_all(options.seed, Split::test, options.test);
    // Measured over 10,000 images; the values of different seeds differ by less than .001.
    set.mean = {0.373f, 0.351f, 0.351f};
    set.std = {0.188f, 0.175f, 0.186f};
    // No mirroring: it would turn turn_left into turn_right.
    set.crop_padding = 2;
    set.flip = false;
    return set;
}

}  // namespace cnpd::datasets::synthetic
