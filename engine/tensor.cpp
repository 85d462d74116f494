#include "engine/tensor.h"

#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "engine/dispatch.h"
#include "kernels/common/error.h"
#include "kernels/elementwise/elementwise.h"

namespace cnpd::engine {

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
    CNPD_CHECK_SHAPE(shape.elements() <= std::numeric_limits<std::int64_t>::max() /
                                             static_cast<std::int64_t>(size_of(dtype)),
                     fmt::format("{} of {} is too large", shape.str(), name_of(dtype)));
    Tensor tensor;
    tensor.shape_ = shape;
    tensor.dtype_ = dtype;
    tensor.storage_ = std::make_shared<Storage>(shape.elements() * size_of(dtype), device);
    return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
    Tensor tensor = empty(shape, dtype, device);
    tensor.set_zero();
    return tensor;
}

Tensor Tensor::full(const Shape& shape, float value, Device device) {
    Tensor tensor = empty(shape, DType::float32, device);
    CNPD_RUN(device, fill, tensor.data<float>(), tensor.elements(), value);
    return tensor;
}

Tensor Tensor::from_bytes(std::span<const std::byte> bytes, const Shape& shape, DType dtype,
                          Device device) {
    Tensor tensor = empty(shape, dtype, device);
    CNPD_CHECK_SHAPE(bytes.size() == tensor.bytes(),
                     fmt::format("{} bytes do not match a tensor {} of {}", bytes.size(),
                                 shape.str(), name_of(dtype)));
    copy_memory::host_to_device(tensor.raw(dtype), bytes.data(), bytes.size(), device);
    return tensor;
}

Device Tensor::device() const {
    CNPD_CHECK(defined(), "undefined tensor");
    return storage_->device();
}

void* Tensor::raw(DType expected) const {
    CNPD_CHECK(defined(), "undefined tensor");
    CNPD_CHECK_SHAPE(expected == dtype_, fmt::format("tensor {} holds {}, not {}", shape_.str(),
                                                     name_of(dtype_), name_of(expected)));
    return storage_->data() + offset_;
}

void Tensor::copy_to_host(std::span<std::byte> bytes, DType expected) const {
    copy_memory::device_to_host(bytes.data(), raw(expected), bytes.size(), device());
}

float Tensor::item() const {
    CNPD_CHECK_SHAPE(elements() == 1, "item() needs a tensor of one element, not " + shape_.str());
    return to_host<float>().front();
}

void Tensor::copy_from(const Tensor& source) {
    CNPD_CHECK_SHAPE(
        source.shape() == shape_ && source.dtype() == dtype_ && source.device() == device(),
        fmt::format("cannot copy {} into {}", source.shape().str(), shape_.str()));
    storage_->mark_written();
    copy_memory::device_to_device(raw(dtype_), source.raw(dtype_), bytes(), device());
}

void Tensor::set_zero() {
    void* const data = raw(dtype_);
    storage_->mark_written();
    copy_memory::set_zero(data, bytes(), device());
}

Tensor Tensor::clone() const {
    Tensor copy = empty(shape_, dtype_, device());
    copy.copy_from(*this);
    return copy;
}

Tensor Tensor::to(Device target) const {
    if (target == device()) return *this;
    std::vector<std::byte> host(bytes());
    copy_to_host(host, dtype_);
    return from_bytes(host, shape_, dtype_, target);
}

Tensor Tensor::view(const Shape& shape) const {
    CNPD_CHECK_SHAPE(shape.elements() == elements(),
                     fmt::format("cannot view {} as {}", shape_.str(), shape.str()));
    Tensor view = detach();
    view.shape_ = shape;
    return view;
}

Tensor Tensor::rows(std::int64_t first, std::int64_t count) const {
    CNPD_CHECK_SHAPE(
        first >= 0 && count >= 0 && first + count <= shape_[0],
        fmt::format("rows {}..{} of {} do not exist", first, first + count, shape_.str()));
    std::vector<std::int64_t> extents = shape_.extents();
    const std::int64_t row_bytes = extents[0] ? static_cast<std::int64_t>(bytes()) / extents[0] : 0;
    extents[0] = count;
    Tensor view = detach();
    view.shape_ = Shape(std::move(extents));
    view.offset_ += first * row_bytes;
    return view;
}

Tensor Tensor::detach() const {
    Tensor copy = *this;
    copy.autograd_ = nullptr;
    return copy;
}

std::shared_ptr<kernels::FilterLayouts> Tensor::filter_layouts() const {
    CNPD_CHECK(defined(), "undefined tensor");
    if (offset_ != 0 || bytes() != storage_->bytes()) return nullptr;
    return storage_->filter_layouts(shape_);
}

Tensor& Tensor::set_requires_grad(bool required) {
    CNPD_CHECK(dtype_ == DType::float32 || dtype_ == DType::bfloat16,
               "only floating-point tensors have gradients");
    if (!autograd_) autograd_ = std::make_shared<AutogradState>();
    CNPD_CHECK(!autograd_->producer, "set_requires_grad() is only allowed on leaves");
    autograd_->requires_grad = required;
    return *this;
}

Tensor Tensor::grad() const {
    return autograd_ && autograd_->gradient ? *autograd_->gradient : Tensor();
}

void Tensor::set_grad(Tensor gradient) {
    if (!autograd_) {
        if (!gradient.defined()) return;
        autograd_ = std::make_shared<AutogradState>();
    }
    autograd_->gradient =
        gradient.defined() ? std::make_shared<Tensor>(std::move(gradient)) : nullptr;
}

}  // namespace cnpd::engine
