#include "datasets/synthetic/signs.h"

#include <iterator>

#include "datasets/synthetic/synthetic.h"

namespace cnpd::datasets::synthetic {
static_assert(std::size(kClassNames) == kClasses);

namespace {

enum Label { kLeft, kRight, kAhead, kLimit30, kLimit80, kNoEntry, kStop, kCaution, kCrossroads };

constexpr float kTriangleRadius = 1.2f, kTriangleShift = 0.2f;

// An arrow that points up, from (0,0.6) to (0,-0.65).
float arrow(Point p) {
    const float shaft = box(p - Point{0, 0.18f}, {0.14f, 0.44f});
    const float head = triangle(p - Point{0, -0.26f}, 0.46f);
    return std::min(shaft, head);
}

// Digits are centre lines of strokes in a box of half-width .22 and half-height .4.
float digit_3(Point p) {
    constexpr float kRadius = 0.2f, kAperture = 2.2f;
    return std::min(arc(p - Point{0, -kRadius}, kRadius, kAperture),
                    arc(p - Point{0, kRadius}, kRadius, kAperture));
}
float digit_8(Point p) {
    return std::min(std::fabs(circle(p - Point{0, -0.19f}, 0.18f)),
                    std::fabs(circle(p - Point{0, 0.2f}, 0.21f)));
}
float digit_0(Point p) {
    return std::fabs(segment(p, {0, -0.18f}, {0, 0.18f}) - 0.21f);
}
float limit(Point p, bool eighty) {
    constexpr float kScale = 1.15f;
    p = (1 / kScale) * p;
    constexpr float kApart = 0.31f, kStroke = 0.085f;
    const float tens = eighty ? digit_8(p - Point{-kApart, 0}) : digit_3(p - Point{-kApart, 0});
    return std::min(tens, digit_0(p - Point{kApart, 0})) - kStroke;
}

float letters_stop(Point p) {
    constexpr float kTop = -0.26f, kBottom = 0.26f, kStroke = 0.06f;
    const Point s = p - Point{-0.6f, 0}, t = p - Point{-0.21f, 0}, o = p - Point{0.18f, 0},
                q = p - Point{0.49f, 0};
    const float distances[] = {
        std::min(arc({-s.x, s.y + 0.13f}, 0.13f, 2.2f), arc({s.x, s.y - 0.13f}, 0.13f, 2.2f)),
        segment(t, {-0.15f, kTop}, {0.15f, kTop}),
        segment(t, {0, kTop}, {0, kBottom}),
        std::fabs(segment(o, {0, -0.13f}, {0, 0.13f}) - 0.13f),
        segment(q, {0, kTop}, {0, kBottom}),
        arc(q - Point{0.09f, -0.12f}, 0.14f, 2.0f),
    };
    return *std::min_element(std::begin(distances), std::end(distances)) - kStroke;
}

float exclamation_mark(Point p) {
    const float stroke = segment(p, {0, -0.4f}, {0, 0.08f}) - (0.14f - 0.1f * (p.y + 0.1f));
    return std::min(stroke, circle(p - Point{0, 0.42f}, 0.12f));
}

float cross(Point p) {
    const float slanted = segment(p, {-0.3f, -0.22f}, {0.3f, 0.4f});
    return std::min(slanted, segment(p, {0.3f, -0.22f}, {-0.3f, 0.4f})) - 0.09f;
}

// Paints shapes, each over the previous ones.
class Painter {
  public:
    explicit Painter(float pixel) : pixel_(pixel) {}
    Painter& paint(float distance, Colour colour) {
        colour_ = mix(colour_, colour, coverage(distance, pixel_));
        return *this;
    }
    Colour colour() const { return colour_; }

  private:
    float pixel_;
    Colour colour_;
};

// The face of a sign; `outline` is the signed distance from its outline.
Colour face(std::int32_t label, Point p, float outline, float pixel, const Paint& paint) {
    Painter painter(pixel);
    switch (label) {
        case kLeft:
            painter.paint(-1, paint.white).paint(outline + 0.08f, paint.blue);
            return painter.paint(arrow({-p.y, p.x}), paint.white).colour();
        case kRight:
            painter.paint(-1, paint.white).paint(outline + 0.08f, paint.blue);
            return painter.paint(arrow({p.y, -p.x}), paint.white).colour();
        case kAhead:
            painter.paint(-1, paint.white).paint(outline + 0.08f, paint.blue);
            return painter.paint(arrow(p), paint.white).colour();
        case kLimit30:
        case kLimit80:
            painter.paint(-1, paint.red).paint(outline + 0.16f, paint.white);
            return painter.paint(limit(p, label == kLimit80), paint.black).colour();
        case kNoEntry:
            painter.paint(-1, paint.white).paint(outline + 0.06f, paint.red);
            return painter.paint(box(p, {0.68f, 0.17f}), paint.white).colour();
        case kStop:
            painter.paint(-1, paint.white).paint(outline + 0.07f, paint.red);
            return painter.paint(letters_stop(p), paint.white).colour();
        case kCaution:
            painter.paint(-1, paint.red).paint(outline + 0.19f, paint.white);
            return painter.paint(exclamation_mark(p), paint.black).colour();
        case kCrossroads:
            painter.paint(-1, paint.red).paint(outline + 0.19f, paint.white);
            return painter.paint(cross(p), paint.black).colour();
        default:  // priority
            painter.paint(-1, paint.black).paint(outline + 0.05f, paint.white);
            return painter.paint(outline + 0.25f, paint.yellow).colour();
    }
}

}  // namespace

float sign_outline(std::int32_t label, Point p) {
    constexpr float kRounding = 0.06f;
    switch (label) {
        case kStop:
            return octagon(p, 0.95f);
        case kCaution:
        case kCrossroads:
            return triangle(p - Point{0, kTriangleShift}, kTriangleRadius - 2 * kRounding) -
                   kRounding;
        case kLeft:
        case kRight:
        case kAhead:
        case kLimit30:
        case kLimit80:
        case kNoEntry:
            return circle(p, 1);
        default:
            return diamond(p, 1.15f - kRounding) - kRounding;
    }
}

Paint mix_paint(Random& random) {
    const auto bleached = [bleach = random.uniform(0, 0.3f), &random](Colour colour) {
        const float grey = luminance(colour);
        return random.around(mix(colour, {grey, grey, grey}, bleach), 0.06f);
    };
    Paint paint;
    paint.white = random.around({0.86f, 0.86f, 0.84f}, 0.05f);
    paint.black = random.around({0.08f, 0.08f, 0.09f}, 0.05f);
    paint.red = bleached({0.74f, 0.10f, 0.12f});
    paint.blue = bleached({0.08f, 0.28f, 0.68f});
    paint.yellow = bleached({0.92f, 0.72f, 0.10f});
    return paint;
}

Sample sample_sign(std::int32_t label, Point p, float pixel, const Paint& paint) {
    const float outline = sign_outline(label, p);
    const float opacity = coverage(outline, pixel);
    if (opacity == 0) return {};
    return {face(label, p, outline, pixel, paint), opacity};
}

}  // namespace cnpd::datasets::synthetic
