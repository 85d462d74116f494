// Points, colours and signed distances: negative inside a shape, positive outside. The formulas for
// the shapes are those of Inigo Quilez, "2D distance functions".
#pragma once

#include <algorithm>
#include <cmath>

namespace cnpd::datasets::synthetic {

struct Point {
    float x = 0, y = 0;  // y points down, as rows do
};
inline Point operator+(Point a, Point b) {
    return {a.x + b.x, a.y + b.y};
}
inline Point operator-(Point a, Point b) {
    return {a.x - b.x, a.y - b.y};
}
inline Point operator*(float s, Point a) {
    return {s * a.x, s * a.y};
}
inline float dot(Point a, Point b) {
    return a.x * b.x + a.y * b.y;
}
inline float length(Point a) {
    return std::sqrt(dot(a, a));
}

// RGB in [0,1], roughly linear light.
struct Colour {
    float r = 0, g = 0, b = 0;
};
inline Colour operator*(float s, Colour a) {
    return {s * a.r, s * a.g, s * a.b};
}
inline Colour operator*(Colour a, Colour b) {
    return {a.r * b.r, a.g * b.g, a.b * b.b};
}
inline Colour operator+(Colour a, Colour b) {
    return {a.r + b.r, a.g + b.g, a.b + b.b};
}
inline Colour mix(Colour a, Colour b, float share) {
    return (1 - share) * a + share * b;
}
inline float luminance(Colour a) {
    return 0.3f * a.r + 0.59f * a.g + 0.11f * a.b;
}

inline float smoothstep(float from, float to, float x) {
    const float t = std::clamp((x - from) / (to - from), 0.0f, 1.0f);
    return t * t * (3 - 2 * t);
}

// Share of a pixel inside a shape, from the signed distance of the pixel's centre; `pixel` is the
// pixel's width in the same unit.
inline float coverage(float distance, float pixel) {
    return std::clamp(0.5f - distance / pixel, 0.0f, 1.0f);
}

inline float circle(Point p, float radius) {
    return length(p) - radius;
}

inline float box(Point p, Point half) {
    const Point q{std::fabs(p.x) - half.x, std::fabs(p.y) - half.y};
    return length({std::max(q.x, 0.0f), std::max(q.y, 0.0f)}) + std::min(std::max(q.x, q.y), 0.0f);
}

inline float segment(Point p, Point a, Point b) {
    const Point pa = p - a, ba = b - a;
    const float t = std::clamp(dot(pa, ba) / dot(ba, ba), 0.0f, 1.0f);
    return length(pa - t * ba);
}

// A square standing on a corner; `half` is the distance from the centre to a corner.
inline float diamond(Point p, float half) {
    constexpr float kRoot = 0.70710678f;
    const Point turned{kRoot * (p.x + p.y), kRoot * (p.y - p.x)};
    return box(turned, {kRoot * half, kRoot * half});
}

// An octagon with two horizontal sides; `apothem` is the distance from the centre to a side.
inline float octagon(Point p, float apothem) {
    constexpr float kCos = 0.92387953f, kSin = 0.38268343f, kTan = 0.41421356f;
    p = {std::fabs(p.x), std::fabs(p.y)};
    const float a = std::min(-kCos * p.x + kSin * p.y, 0.0f);
    p = p - 2 * a * Point{-kCos, kSin};
    const float b = std::min(kCos * p.x + kSin * p.y, 0.0f);
    p = p - 2 * b * Point{kCos, kSin};
    p = p - Point{std::clamp(p.x, -kTan * apothem, kTan * apothem), apothem};
    return p.y > 0 ? length(p) : -length(p);
}

// Equilateral, one corner up, with its centroid at the origin; `radius` is the distance from there
// to a corner.
inline float triangle(Point p, float radius) {
    constexpr float kRoot3 = 1.7320508f;
    const float half_side = 0.5f * kRoot3 * radius;
    p = {std::fabs(p.x) - half_side, -p.y + half_side / kRoot3};
    if (p.x + kRoot3 * p.y > 0) p = {(p.x - kRoot3 * p.y) / 2, (-kRoot3 * p.x - p.y) / 2};
    p.x -= std::clamp(p.x, -2 * half_side, 0.0f);
    return p.y > 0 ? -length(p) : length(p);
}

// An arc from -aperture to +aperture radians around the direction +x.
inline float arc(Point p, float radius, float aperture) {
    p.y = std::fabs(p.y);
    const Point end{std::cos(aperture), std::sin(aperture)};
    const bool beside = end.y * p.x > end.x * p.y || (end.x < 0 && p.x > 0);
    return beside ? std::fabs(length(p) - radius) : length(p - radius * end);
}

}  // namespace cnpd::datasets::synthetic
