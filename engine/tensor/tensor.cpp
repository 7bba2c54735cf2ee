// Tensor: storage, views, copies, and its differentiable conversions.
#include "engine/tensor/tensor.h"

#include "engine/tensor/allocator.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/device_memory.h"
#include "kernels/elementwise.h"

namespace gestalt {

struct Storage {
  void* memory = nullptr;
  Device device = Device::cpu;
  std::shared_ptr<const void> owner;  // set for borrowed memory, which is not released here

  Storage(void* memory, Device device, std::shared_ptr<const void> owner = nullptr)
      : memory(memory), device(device), owner(std::move(owner)) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() {
    if (!owner) release(memory, device);
  }
};

namespace {

Tensor make(std::shared_ptr<Storage> storage, int64_t offset, const Shape& shape, DType dtype) {
  auto impl = std::make_shared<Tensor::Impl>();
  impl->storage = std::move(storage);
  impl->offset = offset;
  impl->shape = shape;
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

template <class T>
Tensor from_values(std::span<const T> values, const Shape& shape) {
  check(static_cast<int64_t>(values.size()) == shape.count(), "[tensor] got {} values for shape {}, expected {}",
        values.size(), shape.text(), shape.count());
  Tensor t = Tensor::empty(shape, dtype_of<T>);
  std::copy(values.begin(), values.end(), t.data<T>());
  return t;
}

void convert(const Tensor& from, Tensor& to) {
  kernels::launch(kernels::Convert{from.in(), to.out(), from.count()}, from.stream());
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  const size_t bytes = static_cast<size_t>(shape.count() * size_of(dtype));
  void* memory = try_allocate(bytes, device);
  if (!memory) fail_out_of_memory(fmt::format("a tensor {} {}", name(dtype), shape.text()), bytes, device);
  return make(std::make_shared<Storage>(memory, device), 0, shape, dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  t.fill(value);
  return t;
}

Tensor Tensor::from(std::span<const float> values, const Shape& shape) { return from_values(values, shape); }
Tensor Tensor::from(std::span<const double> values, const Shape& shape) { return from_values(values, shape); }
Tensor Tensor::from(std::span<const int32_t> values, const Shape& shape) { return from_values(values, shape); }
Tensor Tensor::from(std::span<const uint8_t> values, const Shape& shape) { return from_values(values, shape); }

Tensor Tensor::borrow(const void* memory, const Shape& shape, DType dtype, std::shared_ptr<const void> keep_alive) {
  check(keep_alive != nullptr, "[tensor] borrow needs an owner that keeps the memory alive");
  return make(std::make_shared<Storage>(const_cast<void*>(memory), Device::cpu, std::move(keep_alive)), 0, shape,
              dtype);
}

const Shape& Tensor::shape() const {
  check(impl_ != nullptr, "[tensor] used before it was given a value");
  return impl_->shape;
}
DType Tensor::dtype() const { return check(impl_ != nullptr, "[tensor] is undefined"), impl_->dtype; }
Device Tensor::device() const { return check(impl_ != nullptr, "[tensor] is undefined"), impl_->storage->device; }
Stream Tensor::stream() const { return current_stream(device()); }

In Tensor::in() const {
  if (!impl_) return {};
  return {static_cast<const char*>(impl_->storage->memory) + impl_->offset, impl_->dtype};
}
Out Tensor::out() {
  if (!impl_) return {};
  return {static_cast<char*>(impl_->storage->memory) + impl_->offset, impl_->dtype};
}

std::vector<double> Tensor::values64() const {
  const Tensor host = detach().to(Device::cpu);
  std::vector<double> values(static_cast<size_t>(count()));
  auto copy = [&](const auto* from) { std::copy(from, from + values.size(), values.begin()); };
  switch (dtype()) {
    case DType::u8:
      copy(host.data<uint8_t>());
      break;
    case DType::i32:
      copy(host.data<int32_t>());
      break;
    case DType::f32:
      copy(host.data<float>());
      break;
    case DType::f64:
      copy(host.data<double>());
      break;
    case DType::bf16:
      copy(host.data<BFloat16>());
      break;
  }
  return values;
}

std::vector<float> Tensor::values() const {
  const std::vector<double> wide = values64();
  return {wide.begin(), wide.end()};
}

double Tensor::item() const {
  check(count() == 1, "[item] got shape {}, expected one element", shape().text());
  return values64()[0];
}

Tensor Tensor::reshape(const Shape& to) const {
  check(to.count() == count(), "[reshape] got {} elements {} for shape {}", count(), shape().text(), to.text());
  Tensor y = make(impl_->storage, impl_->offset, to, dtype());
  return record("reshape", y, {*this}, [from = shape()](const Tensor& dy) -> Grads { return {dy.reshape(from)}; });
}

Tensor Tensor::flatten(int first_axis) const {
  check(first_axis >= 0 && first_axis < rank(), "[flatten] got axis {} of shape {}", first_axis, shape().text());
  std::vector<int64_t> extents(shape().begin(), shape().begin() + first_axis);
  int64_t joined = 1;
  for (int i = first_axis; i < rank(); ++i) joined *= dim(i);
  extents.push_back(joined);
  return reshape(Shape(extents));
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  check(rank() >= 1 && 0 <= begin && begin <= end && end <= dim(0), "[slice] got rows {} to {} of shape {}", begin, end,
        shape().text());
  const int64_t row_bytes = dim(0) ? bytes() / dim(0) : 0;
  Tensor y = make(impl_->storage, impl_->offset + begin * row_bytes, shape().with(0, end - begin), dtype());
  if (!recording({*this})) return y;  // it may be a place to write to, whose numbers are not yet there to be checked
  return record("slice", y, {*this}, [from = shape(), begin, end](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::zeros(from, dy.dtype(), dy.device());
    dx.slice(begin, end).copy_from(dy);
    return {dx};
  });
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == this->dtype()) return *this;
  Tensor y = empty(shape(), dtype, device());
  convert(*this, y);
  return record("convert", y, {*this}, [from = this->dtype()](const Tensor& dy) -> Grads { return {dy.to(from)}; });
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  Tensor y = empty(shape(), dtype(), device);
  copy_bytes(y.out().data, device, in().data, this->device(), static_cast<size_t>(bytes()));
  return record("move", y, {*this}, [from = this->device()](const Tensor& dy) -> Grads { return {dy.to(from)}; });
}

Tensor Tensor::clone() const {
  Tensor y = empty(shape(), dtype(), device());
  y.copy_from(*this);
  return y;
}

Tensor Tensor::detach() const { return impl_ ? make(impl_->storage, impl_->offset, shape(), dtype()) : Tensor(); }

void Tensor::copy_from(const Tensor& source) {
  check(source.shape() == shape(), "[copy] got shape {}, expected {}", source.shape().text(), shape().text());
  const Tensor converted = source.detach().to(dtype());
  copy_bytes(out().data, device(), converted.in().data, converted.device(), static_cast<size_t>(bytes()));
}

void Tensor::fill(double value) { kernels::launch(kernels::Fill{out(), value, count()}, stream()); }

bool Tensor::requires_grad() const { return impl_ && (impl_->requires_grad || impl_->node); }
Tensor& Tensor::require_grad(bool on) {
  check(!on || dtype() == DType::f32 || dtype() == DType::f64 || dtype() == DType::bf16,
        "[autograd] got a tensor of {} to differentiate, expected a floating one", name(dtype()));
  impl_->requires_grad = on;
  return *this;
}
Tensor Tensor::grad() const { return impl_->grad; }
void Tensor::set_grad(const Tensor& grad) {
  check(!grad || grad.shape() == shape(), "[autograd] got a gradient {}, expected {}", grad ? grad.shape().text() : "",
        shape().text());
  impl_->grad = grad;
}

Tensor Tensor::shadow() const { return impl_->shadow; }
void Tensor::set_shadow(const Tensor& shadow) { impl_->shadow = shadow; }

Tensor Tensor::as_operand(DType dtype) const {
  if (dtype == this->dtype()) return detach();
  if (impl_->shadow && impl_->shadow.dtype() == dtype) return impl_->shadow;
  return detach().to(dtype);
}

bool Tensor::same_storage(const Tensor& other) const { return impl_->storage == other.impl_->storage; }
bool Tensor::sole_owner(long copies) const { return impl_.use_count() == copies && impl_->storage.use_count() == 1; }

void Tensor::rebind(const Tensor& other) {
  check(other.shape() == shape() && other.dtype() == dtype(), "[tensor] got {} {} to see, expected {} {}",
        name(other.dtype()), other.shape().text(), name(dtype()), shape().text());
  impl_->storage = other.impl_->storage;
  impl_->offset = other.impl_->offset;
}

}  // namespace gestalt
