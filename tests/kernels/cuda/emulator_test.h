// What the tests of the emulated device share: arrays on it and a way to start kernels.
#pragma once

#include <vector>

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count), data_(static_cast<T*>(device_allocate(count * sizeof(T)))) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    copy(data_, Device::cuda, values.data(), Device::cpu, count_ * sizeof(T), compute_stream());
  }
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() { device_release(data_); }
  T* get() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(count_);
    copy(values.data(), Device::cpu, data_, Device::cuda, count_ * sizeof(T), compute_stream());
    return values;
  }

 private:
  size_t count_;
  T* data_;
};

inline std::vector<float> ramp(int count) {
  std::vector<float> x(count);
  for (int i = 0; i < count; ++i) x[i] = static_cast<float>(i);
  return x;
}

// Starts a kernel under the name "planted".
template <class... Parameters, class... Arguments>
void start(void (*kernel)(Parameters...), int blocks, int threads, int shared, Arguments... arguments) {
  const Range range("planted");
  launch_kernel(kernel, blocks, threads, shared, compute_stream(), arguments...);
}

}  // namespace gestalt::kernels::cuda
