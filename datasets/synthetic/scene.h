// The surroundings of a sign, obstacles in front of it, and the camera.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "datasets/synthetic/geometry.h"
#include "datasets/synthetic/random.h"
#include "datasets/synthetic/synthetic.h"

namespace cnpd::datasets::synthetic {

using Picture = std::array<Colour, kSize * kSize>;  // [H,W]

// Smooth random field: bicubic-like interpolation of a coarse grid of values in [0,1].
class Texture {
  public:
    Texture(Random& random, float cell);
    // The value at a pixel.
    float operator()(Point pixel) const;

  private:
    static constexpr int kSide = 12;
    float cell_;
    std::array<float, kSide * kSide> values_;
};

// The sign's position and orientation; to_sign() maps pixels to the sign's own coordinates.
struct Pose {
    Point centre;      // pixels
    float radius = 0;  // pixels
    float cos = 1, sin = 0;
    float squeeze = 1;  // of the width, because the sign is seen from the side
    float shear = 0;
};
Pose draw_pose(Random& random);
Point to_sign(const Pose& pose, Point pixel);

void paint_background(Random& random, Picture& picture);
// The pole, and the sign with its lighting.
void paint_sign(Random& random, const Pose& pose, std::int32_t label, Picture& picture);
// Sometimes leaves, a branch, a sticker, dirt or a shadow.
void paint_obstacles(Random& random, const Pose& pose, Picture& picture);

// Haze, lens, exposure, white balance, sensor noise, and rounding to bytes.
void photograph(Random& random, const Picture& picture,
                std::span<std::uint8_t, kSize * kSize * 3> pixels);

// Calls body(pixel's centre, pixel's colour) for all pixels.
template <class Body>
void for_each_pixel(Picture& picture, const Body& body) {
    for (int y = 0; y < kSize; ++y)
        for (int x = 0; x < kSize; ++x)
            body(Point{static_cast<float>(x) + 0.5f, static_cast<float>(y) + 0.5f},
                 picture[y * kSize + x]);
}

}  // namespace cnpd::datasets::synthetic
