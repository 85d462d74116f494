// Obstacles, shadows, weather, lens and sensor.
#include "datasets/synthetic/scene.h"

namespace cnpd::datasets::synthetic {
namespace {

// A random point whose distance from the sign's centre is `low` to `high` times the sign's radius.
Point near_sign(Random& random, const Pose& pose, float low, float high) {
    const float angle = random.uniform(0, 6.2831853f), distance = random.uniform(low, high);
    return pose.centre + pose.radius * distance * Point{std::cos(angle), std::sin(angle)};
}

void paint_leaves(Random& random, const Pose& pose, Picture& picture) {
    const Point anchor = near_sign(random, pose, 0.55f, 1.1f);
    const Colour green = random.around({0.24f, 0.36f, 0.14f}, 0.1f);
    for (int leaves = 4 + random.below(7); leaves > 0; --leaves) {
        const float spread = 0.35f * pose.radius;
        const Point centre =
            anchor + Point{random.uniform(-spread, spread), random.uniform(-spread, spread)};
        const float angle = random.uniform(0, 3.1415927f), size = random.uniform(1, 2.6f);
        const Point along{size * std::cos(angle), size * std::sin(angle)};
        const Colour shade = random.uniform(0.6f, 1.3f) * green;
        for_each_pixel(picture, [&](Point p, Colour& colour) {
            const float d = segment(p, centre - along, centre + along) - 0.45f * size;
            colour = mix(colour, shade, coverage(d, 1));
        });
    }
}

void paint_branch(Random& random, const Pose& pose, Picture& picture) {
    const Point through = near_sign(random, pose, 0.2f, 0.9f);
    const float angle = random.uniform(0, 3.1415927f), width = random.uniform(0.5f, 1.5f);
    const Point along{40 * std::cos(angle), 40 * std::sin(angle)};
    const Colour bark = random.around({0.24f, 0.2f, 0.17f}, 0.1f);
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        const float d = segment(p, through - along, through + along) - width;
        colour = mix(colour, bark, coverage(d, 1));
    });
}

void paint_sticker(Random& random, const Pose& pose, Picture& picture) {
    const Point centre = near_sign(random, pose, 0.2f, 0.8f);
    const float size = pose.radius * random.uniform(0.12f, 0.26f);
    const Point half{size, size * random.uniform(0.5f, 1)};
    const float angle = random.uniform(0, 3.1415927f), c = std::cos(angle), s = std::sin(angle);
    const Colour paint{random.uniform(0.05f, 0.8f), random.uniform(0.05f, 0.8f),
                       random.uniform(0.05f, 0.8f)};
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        const Point q = p - centre;
        const float d = box({c * q.x + s * q.y, c * q.y - s * q.x}, half);
        colour = mix(colour, paint, coverage(d, 1));
    });
}

void paint_dirt(Random& random, Picture& picture) {
    const Texture dirt(random, random.uniform(2.7f, 6));
    const Colour mud = random.around({0.35f, 0.3f, 0.24f}, 0.08f);
    const float strength = random.uniform(0.3f, 0.8f);
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        colour = mix(colour, mud, strength * smoothstep(0.5f, 0.9f, dirt(p)));
    });
}

// A shadow whose edge crosses the sign.
void paint_shadow(Random& random, const Pose& pose, Picture& picture) {
    const Point through = near_sign(random, pose, 0, 0.8f);
    const float angle = random.uniform(0, 6.2831853f), softness = random.uniform(0.5f, 3);
    const Point normal{std::cos(angle), std::sin(angle)};
    const float darkness = random.uniform(0.35f, 0.65f);
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        const float inside = smoothstep(-softness, softness, dot(p - through, normal));
        colour = (1 - darkness * inside) * colour;
    });
}

// One direction of a separable Gaussian; pixels beyond the border repeat it.
void blur(Picture& picture, float sigma, bool horizontal) {
    if (sigma < 0.25f) return;
    constexpr int kReach = 4;
    float weights[kReach + 1], total = 0;
    for (int i = 0; i <= kReach; ++i) {
        const float x = static_cast<float>(i) / sigma;
        weights[i] = std::exp(-0.5f * x * x);
        total += i == 0 ? weights[i] : 2 * weights[i];
    }
    constexpr int kLast = kSize - 1;
    const Picture from = picture;
    for (int y = 0; y < kSize; ++y)
        for (int x = 0; x < kSize; ++x) {
            Colour sum{};
            for (int i = -kReach; i <= kReach; ++i) {
                const int row = horizontal ? y : std::clamp(y + i, 0, kLast);
                const int column = horizontal ? std::clamp(x + i, 0, kLast) : x;
                sum = sum + weights[std::abs(i)] / total * from[row * kSize + column];
            }
            picture[y * kSize + x] = sum;
        }
}

std::uint8_t to_byte(float value) {
    const float scaled = value * static_cast<float>(kBrightest);
    return static_cast<std::uint8_t>(
        std::clamp(scaled + 0.5f, 0.0f, static_cast<float>(kBrightest)));
}

}  // namespace

void paint_obstacles(Random& random, const Pose& pose, Picture& picture) {
    if (random.chance(0.15f)) paint_dirt(random, picture);
    if (random.chance(0.15f)) paint_sticker(random, pose, picture);
    if (random.chance(0.3f)) paint_shadow(random, pose, picture);
    if (random.chance(0.2f)) paint_leaves(random, pose, picture);
    if (random.chance(0.12f)) paint_branch(random, pose, picture);
}

void photograph(Random& random, const Picture& scene,
                std::span<std::uint8_t, kSize * kSize * 3> pixels) {
    Picture picture = scene;
    if (random.chance(0.2f)) {
        const Colour haze = random.around({0.66f, 0.68f, 0.7f}, 0.08f);
        const float share = random.uniform(0.15f, 0.5f);
        for (Colour& colour : picture) colour = mix(colour, haze, share);
    }
    // The two axes differ, as for a moving camera.
    const float u = random.uniform(0, 1), v = random.uniform(0, 1);
    blur(picture, 1.2f * u * u, true);
    blur(picture, 1.2f * v * v, false);

    const float darkness = random.uniform(0, 1);
    const float exposure = 1.12f - 0.65f * darkness * darkness;
    const Colour tint = exposure * random.around({0.96f, 0.96f, 0.96f}, 0.05f);
    const float saturation =
        random.chance(0.1f) ? random.uniform(0, 0.3f) : random.uniform(0.8f, 1);
    const float w = random.uniform(0, 1), noise = 0.008f + 0.05f * w * w;
    for (std::size_t i = 0; i < picture.size(); ++i) {
        const Colour lit = tint * picture[i];
        const float grey = luminance(lit);
        const Colour seen = mix({grey, grey, grey}, lit, saturation);
        pixels[3 * i] = to_byte(seen.r + noise * random.noise());
        pixels[3 * i + 1] = to_byte(seen.g + noise * random.noise());
        pixels[3 * i + 2] = to_byte(seen.b + noise * random.noise());
    }
}

}  // namespace cnpd::datasets::synthetic
