// The tensor: a typed, shaped view of shared storage, optionally on the autograd tape.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/device.h"
#include "engine/dtype.h"
#include "engine/shape.h"
#include "engine/storage.h"

namespace cnpd::engine {

class Tensor;
struct Node;

// A tensor's autograd state. Shared by all copies of the handle.
struct AutogradState {
    bool requires_grad = false;
    std::shared_ptr<Node> producer;    // null for leaves
    std::shared_ptr<Tensor> gradient;  // leaves: accumulated by backward()
};

// A handle: copies share data and gradient, as in PyTorch. Always contiguous, outermost axis first;
// images and activations are [N,H,W,C], filters [K,R,S,C].
class Tensor {
  public:
    // An undefined tensor; every operation on it except defined() is an error.
    Tensor() = default;

    // Uninitialised.
    static Tensor empty(const Shape& shape, DType dtype = DType::float32, Device device = {});
    static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Device device = {});
    static Tensor full(const Shape& shape, float value, Device device = {});
    // A copy of host values. Throws ShapeError if their number does not match the shape.
    template <class T>
    static Tensor from(std::span<const T> values, const Shape& shape, Device device = {}) {
        return from_bytes(std::as_bytes(values), shape, dtype_of<T>, device);
    }
    template <class T>
    static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = {}) {
        return from(std::span<const T>(values), shape, device);
    }
    static Tensor from_bytes(std::span<const std::byte> bytes, const Shape& shape, DType dtype,
                             Device device = {});

    bool defined() const { return storage_ != nullptr; }
    const Shape& shape() const { return shape_; }
    DType dtype() const { return dtype_; }
    Device device() const;
    std::int64_t elements() const { return shape_.elements(); }
    std::size_t bytes() const { return elements() * size_of(dtype_); }

    // The device pointer. Throws ShapeError if the tensor has another element type. Write through
    // a pointer only after this call, not in later kernels: what was computed from the data
    // (filter_layouts) is discarded here.
    template <class T>
    T* data() {
        void* const pointer = raw(dtype_of<T>);
        storage_->mark_written();
        return static_cast<T*>(pointer);
    }
    template <class T>
    const T* data() const {
        return static_cast<const T*>(raw(dtype_of<T>));
    }

    // A copy on the host.
    template <class T>
    std::vector<T> to_host() const {
        std::vector<T> values(elements());
        copy_to_host(std::as_writable_bytes(std::span(values)), dtype_of<T>);
        return values;
    }
    // The only element of a float32 tensor.
    float item() const;
    // Overwrites the data with another tensor's of the same shape, type and device; not recorded.
    void copy_from(const Tensor& source);
    // Overwrites the data with zeros; not recorded.
    void set_zero();
    // A copy with its own data, off the tape.
    Tensor clone() const;
    // A copy on another device (the tensor itself if it is already there), off the tape.
    Tensor to(Device device) const;

    // The same data with another shape or only some of its rows (outermost axis); off the tape.
    Tensor view(const Shape& shape) const;
    Tensor rows(std::int64_t first, std::int64_t count) const;
    // The same data, off the tape.
    Tensor detach() const;
    // Whether no other tensor shares the data.
    bool unique() const { return storage_.use_count() == 1; }

    // Storage::filter_layouts; null also for a part of a larger tensor.
    std::shared_ptr<kernels::FilterLayouts> filter_layouts() const;

    // Autograd; see engine/autograd.h.
    bool requires_grad() const { return autograd_ && autograd_->requires_grad; }
    // For leaves of float32 or bfloat16, the type of their gradient. Returns *this.
    Tensor& set_requires_grad(bool required = true);
    // The accumulated gradient of a leaf; undefined before the first backward().
    Tensor grad() const;
    void set_grad(Tensor gradient);
    void zero_grad() { set_grad({}); }
    const std::shared_ptr<AutogradState>& autograd_state() const { return autograd_; }
    void set_autograd_state(std::shared_ptr<AutogradState> state) { autograd_ = std::move(state); }

  private:
    void* raw(DType expected) const;
    void copy_to_host(std::span<std::byte> bytes, DType expected) const;

    std::shared_ptr<Storage> storage_;
    std::size_t offset_ = 0;  // bytes
    Shape shape_;
    DType dtype_ = DType::float32;
    std::shared_ptr<AutogradState> autograd_;
};

}  // namespace cnpd::engine
