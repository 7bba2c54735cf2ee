// Tensor: a contiguous, row-major block of elements with a shape, and its place in the autograd graph.
//
// A Tensor is a value that shares storage: copying it is cheap, and both copies see the same elements. Reshape and a
// slice of the leading dimension are the only views. Images are NHWC.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor/shape.h"
#include "kernels/memory.h"

namespace gestalt {

struct Node;     // one recorded op, see autograd.h
struct Storage;  // one allocation

class Tensor {
 public:
  Tensor() = default;  // undefined: no shape, no storage

  static Tensor empty(const Shape&, DType = DType::f32, Device = Device::cpu);  // elements are not set
  static Tensor zeros(const Shape&, DType = DType::f32, Device = Device::cpu);
  static Tensor full(const Shape&, double value, DType = DType::f32, Device = Device::cpu);
  static Tensor from(std::span<const float> values, const Shape&);
  static Tensor from(std::span<const double> values, const Shape&);
  static Tensor from(std::span<const int32_t> values, const Shape&);
  static Tensor from(std::span<const uint8_t> values, const Shape&);
  // Memory that somebody else owns and `keep_alive` keeps (a mapped file, a data set). CPU only, never written.
  static Tensor borrow(const void* memory, const Shape&, DType, std::shared_ptr<const void> keep_alive);

  explicit operator bool() const { return impl_ != nullptr; }
  const Shape& shape() const;
  int64_t dim(int axis) const { return shape()[axis]; }
  int rank() const { return shape().rank(); }
  int64_t count() const { return shape().count(); }
  int64_t bytes() const { return count() * size_of(dtype()); }
  DType dtype() const;
  Device device() const;
  Stream stream() const;  // where ops on this tensor run

  In in() const;  // null for an undefined tensor, so that an optional operand is passed as it is
  Out out();
  template <class T>
  T* data() {
    return out().as<T>();
  }
  template <class T>
  const T* data() const {
    return in().as<T>();
  }
  std::vector<float> values() const;  // copied to the host and converted
  std::vector<double> values64() const;
  double item() const;  // of a tensor with one element

  // Views and copies. These five are differentiable (integers are not).
  Tensor reshape(const Shape&) const;
  Tensor flatten(int first_axis = 1) const;        // joins the axes from `first_axis` on
  Tensor slice(int64_t begin, int64_t end) const;  // rows of the leading dimension
  Tensor to(DType) const;                          // the same tensor if there is nothing to convert
  Tensor to(Device) const;
  Tensor clone() const;                  // own storage, no history
  Tensor detach() const;                 // shares storage, no history
  void copy_from(const Tensor& source);  // same shape; converts dtype and device; not recorded
  void fill(double value);

  // Autograd.
  bool requires_grad() const;
  Tensor& require_grad(bool on = true);  // makes this a leaf that collects a gradient
  Tensor grad() const;                   // undefined before the first backward
  void set_grad(const Tensor&);
  void backward() const;  // of a scalar: adds d(this)/d(leaf) to each leaf's grad
  void backward(const Tensor& seed) const;

  // The copy of a parameter in its compute dtype, kept up to date by the optimizer; see ParameterArena.
  Tensor shadow() const;
  void set_shadow(const Tensor&);
  // This tensor in `dtype` for use as an operand: itself, its shadow, or an unrecorded conversion.
  Tensor as_operand(DType dtype) const;

  bool same_storage(const Tensor&) const;
  // Nobody else sees the storage, so it may be overwritten: there are `copies` copies of this tensor and no other view.
  bool sole_owner(long copies = 1) const;
  // Makes every copy of this tensor see `other`'s elements from now on (same shape and dtype).
  void rebind(const Tensor& other);

  struct Impl;
  const std::shared_ptr<Impl>& impl() const { return impl_; }
  explicit Tensor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<Impl> impl_;
};

struct Tensor::Impl {
  std::shared_ptr<Storage> storage;
  int64_t offset = 0;  // bytes from the start of the storage
  Shape shape;
  DType dtype = DType::f32;
  bool requires_grad = false;
  std::shared_ptr<Node> node;  // the op that made this tensor; null for a leaf
  int output_index = 0;
  Tensor grad, shadow;
  bool untouched =
      false;  // a gradient: zeros that nothing was added to, so that the first may be written in their place
};

// The stream that ops on `device` use.
Stream current_stream(Device device);

}  // namespace gestalt
