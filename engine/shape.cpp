#include "engine/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/common/error.h"

namespace cnpd::engine {

Shape::Shape(std::vector<std::int64_t> extents) : extents_(std::move(extents)) {
    for (const std::int64_t extent : extents_)
        if (extent < 0 || __builtin_mul_overflow(elements_, extent, &elements_))
            throw ShapeError(fmt::format("impossible shape {}", str()));
}

std::int64_t Shape::operator[](int axis) const {
    const int index = axis < 0 ? axis + rank() : axis;
    CNPD_CHECK_SHAPE(index >= 0 && index < rank(), fmt::format("axis {} of {}", axis, str()));
    return extents_[index];
}

std::string Shape::str() const {
    return fmt::format("[{}]", fmt::join(extents_, ","));
}

}  // namespace cnpd::engine
