#include "datasets/synthetic/scene.h"

#include "datasets/synthetic/signs.h"

namespace cnpd::datasets::synthetic {

Texture::Texture(Random& random, float cell) : cell_(cell) {
    for (float& value : values_) value = random.uniform(0, 1);
}

float Texture::operator()(Point pixel) const {
    const float x = pixel.x / cell_, y = pixel.y / cell_;
    const int column = static_cast<int>(x), row = static_cast<int>(y);
    const float u = smoothstep(0, 1, x - static_cast<float>(column));
    const float v = smoothstep(0, 1, y - static_cast<float>(row));
    const auto at = [&](int r, int c) {
        return values_[std::clamp(r, 0, kSide - 1) * kSide + std::clamp(c, 0, kSide - 1)];
    };
    const float top = (1 - u) * at(row, column) + u * at(row, column + 1);
    const float bottom = (1 - u) * at(row + 1, column) + u * at(row + 1, column + 1);
    return (1 - v) * top + v * bottom;
}

namespace {

constexpr float kWidth = static_cast<float>(kSize);

Colour draw_sky(Random& random) {
    constexpr Colour kSkies[] = {{0.45f, 0.62f, 0.80f},   // blue
                                 {0.66f, 0.69f, 0.72f},   // overcast
                                 {0.74f, 0.58f, 0.46f},   // evening
                                 {0.22f, 0.26f, 0.36f}};  // dusk
    return random.around(kSkies[random.below(4)], 0.07f);
}

Colour draw_foliage(Random& random) {
    constexpr Colour kFoliage[] = {
        {0.20f, 0.34f, 0.14f}, {0.33f, 0.42f, 0.16f}, {0.12f, 0.22f, 0.14f}, {0.48f, 0.34f, 0.14f}};
    return random.around(kFoliage[random.below(4)], 0.05f);
}

Colour draw_wall(Random& random) {
    constexpr Colour kWalls[] = {
        {0.52f, 0.30f, 0.24f}, {0.60f, 0.55f, 0.47f}, {0.42f, 0.42f, 0.45f}, {0.66f, 0.60f, 0.40f}};
    return random.around(kWalls[random.below(4)], 0.06f);
}

// Trees in the background, with a wavy upper edge above `horizon`.
void paint_trees(Random& random, float horizon, Picture& picture) {
    const Texture edge(random, random.uniform(4, 10)), leaves(random, random.uniform(2.7f, 4));
    const float height = random.uniform(3, 14);
    const Colour light = draw_foliage(random), dark = 0.5f * light;
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        const float top = horizon - height * edge({p.x, 0});
        colour = mix(colour, mix(dark, light, leaves(p)), coverage(top - p.y, 1.5f));
    });
}

void paint_house(Random& random, float horizon, Picture& picture) {
    const Point half{random.uniform(4, 10), random.uniform(5, 16)};
    const Point centre{random.uniform(0, kWidth), horizon + 2 - half.y};
    const Colour wall = draw_wall(random), glass = random.around({0.25f, 0.3f, 0.36f}, 0.12f);
    const float pitch = random.uniform(4, 7), window = random.uniform(0.2f, 0.35f) * pitch;
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        const Point q = p - centre;
        const Point cell{q.x - pitch * std::round(q.x / pitch),
                         q.y - pitch * std::round(q.y / pitch)};
        const Colour face = mix(wall, glass, coverage(box(cell, {window, 1.3f * window}), 1));
        colour = mix(colour, face, coverage(box(q, half), 1));
    });
}

void paint_ground(Random& random, float horizon, Picture& picture) {
    const Colour ground =
        random.chance(0.5f) ? random.around({0.36f, 0.36f, 0.37f}, 0.1f) : draw_foliage(random);
    const Texture grain(random, random.uniform(2.7f, 6));
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        const Colour here = (0.8f + 0.4f * grain(p)) * ground;
        colour = mix(colour, here, coverage(horizon - p.y, 1));
    });
}

// A background out of focus: blotches of two colours.
void paint_blotches(Random& random, Picture& picture) {
    const Colour a = draw_wall(random),
                 b = random.chance(0.5f) ? draw_foliage(random) : draw_sky(random);
    const Texture coarse(random, random.uniform(5, 12)), fine(random, random.uniform(2.7f, 4));
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        colour = mix(a, b, smoothstep(0.25f, 0.75f, 0.75f * coarse(p) + 0.25f * fine(p)));
    });
}

}  // namespace

void paint_background(Random& random, Picture& picture) {
    if (random.chance(0.3f)) return paint_blotches(random, picture);
    const Colour top = draw_sky(random), bottom = mix(top, {0.78f, 0.78f, 0.76f}, 0.5f);
    const Texture clouds(random, random.uniform(5, 12));
    const float cloudiness = random.uniform(0, 0.3f);
    const float horizon = random.uniform(16, 40);
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        colour = mix(mix(top, bottom, std::min(p.y / horizon, 1.0f)), {0.78f, 0.78f, 0.78f},
                     cloudiness * clouds(p));
    });
    for (int houses = random.below(3); houses > 0; --houses) paint_house(random, horizon, picture);
    if (random.chance(0.6f)) paint_trees(random, horizon, picture);
    paint_ground(random, horizon, picture);
}

Pose draw_pose(Random& random) {
    Pose pose;
    // Most signs fill the image; some are far away.
    const float u = random.uniform(0, 1);
    pose.radius = 13.5f - 5.5f * u * u;
    const float room = std::max(kWidth / 2 - pose.radius, 0.0f) * 0.7f;
    pose.centre = {kWidth / 2 + random.uniform(-room, room),
                   kWidth / 2 + random.uniform(-room, room)};
    const float angle = random.uniform(-0.2f, 0.2f);
    pose.cos = std::cos(angle);
    pose.sin = std::sin(angle);
    pose.squeeze = random.uniform(0.75f, 1);
    pose.shear = random.uniform(-0.15f, 0.15f);
    return pose;
}

Point to_sign(const Pose& pose, Point pixel) {
    const Point p = pixel - pose.centre;
    const Point turned{pose.cos * p.x + pose.sin * p.y, pose.cos * p.y - pose.sin * p.x};
    const float x = turned.x / (pose.radius * pose.squeeze);
    return {x, turned.y / pose.radius + pose.shear * x};
}

void paint_sign(Random& random, const Pose& pose, std::int32_t label, Picture& picture) {
    const Paint paint = mix_paint(random);
    const Colour pole = random.around({0.45f, 0.46f, 0.48f}, 0.12f);
    const float pole_width = random.uniform(0.06f, 0.12f);
    const float light_angle = random.uniform(0, 6.2831853f), light = random.uniform(0, 0.25f);
    const Point towards_light{light * std::cos(light_angle), light * std::sin(light_angle)};
    const float pixel = 1.1f / (pose.radius * (1 + pose.squeeze) / 2);
    for_each_pixel(picture, [&](Point p, Colour& colour) {
        const Point q = to_sign(pose, p);
        const float round_light = 0.75f + 0.25f * q.x / pole_width;
        colour = mix(colour, std::clamp(round_light, 0.4f, 1.1f) * pole,
                     coverage(std::max(std::fabs(q.x) - pole_width, -q.y), pixel));
        // A soft dark rim separates the sign from a background of the same colour.
        const float rim = smoothstep(0.22f, 0, sign_outline(label, q - Point{0.04f, 0.06f}));
        colour = (1 - 0.35f * rim) * colour;
        const Sample sample = sample_sign(label, q, pixel, paint);
        colour = mix(colour, (1 + dot(towards_light, q)) * sample.colour, sample.opacity);
    });
}

}  // namespace cnpd::datasets::synthetic
