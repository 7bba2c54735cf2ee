// StepNumber: what the host decides anew for each step (a rate, a batch's number), where kernels find it.
#pragma once

#include <cstring>

#include "engine/tensor/tensor.h"
#include "kernels/varying.h"

namespace gestalt {

// A value in the memory of a device, so that a captured graph sees each step's. Kernels launched after a set() see its
// value, those launched before it the one they had.
template <class T>
class StepNumber {
 public:
  void set(const T& value, Device device) {
    kernels::SetVarying k{{}, {}, sizeof(T)};
    static_assert(sizeof(T) <= sizeof(k.words));
    if (!memory_) memory_ = Tensor::zeros({sizeof(k.words)}, DType::u8, device);
    std::memcpy(k.words, &value, sizeof(T));
    k.y = memory_.out();
    kernels::launch(k, memory_.stream());
  }
  kernels::Varying<T> get() const {
    check(bool(memory_), "[step_number] is read before it was set");
    return kernels::Varying<T>::at(memory_.in().data);
  }

 private:
  Tensor memory_;
};

}  // namespace gestalt
