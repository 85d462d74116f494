// The extents of a tensor.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace cnpd::engine {

// Extents, outermost first; empty for a scalar.
class Shape {
  public:
    Shape() = default;
    Shape(std::initializer_list<std::int64_t> extents) : Shape(std::vector(extents)) {}
    // Throws ShapeError if an extent is negative or their product exceeds 63 bits.
    explicit Shape(std::vector<std::int64_t> extents);

    int rank() const { return static_cast<int>(extents_.size()); }
    // Negative axes count from the end.
    std::int64_t operator[](int axis) const;
    std::int64_t elements() const { return elements_; }
    const std::vector<std::int64_t>& extents() const { return extents_; }
    // "[128,32,32,3]"
    std::string str() const;
    bool operator==(const Shape& other) const { return extents_ == other.extents_; }

  private:
    std::vector<std::int64_t> extents_;
    std::int64_t elements_ = 1;
};

}  // namespace cnpd::engine
