// Two slots, each a page-locked buffer and one on the device, taken in turn.
#include "engine/tensor/upload.h"

#include <cstring>

#include "kernels/launch.h"
#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"
#endif

namespace gestalt {

#if GESTALT_WITH_CUDA

namespace cuda = kernels::cuda;

struct Upload::Slot {
  void* pinned = nullptr;
  Tensor there;  // u8, as long as `pinned`
  cuda::Event copied, consumed;

  ~Slot() {
    if (pinned) cuda::pinned_release(pinned);
  }
  void hold(int64_t bytes) {
    if (there && there.count() >= bytes) return;
    const int64_t some_more = bytes + bytes / 8;
    if (pinned) cuda::pinned_release(pinned);
    pinned = nullptr;
    pinned = cuda::pinned_allocate(static_cast<size_t>(some_more));
    there = Tensor();
    there = Tensor::empty({some_more}, DType::u8, Device::cuda);
    consumed.record(cuda::compute_stream());  // the memory may still be another tensor's until then
  }
};

Tensor Upload::operator()(const Tensor& host) {
  check(host.dtype() == DType::u8, "[upload] got {}, expected u8", name(host.dtype()));
  for (auto& slot : slots_)
    if (!slot) slot = std::make_unique<Slot>();
  std::swap(slots_[0], slots_[1]);
  Slot &slot = *slots_[0], &before = *slots_[1];
  before.consumed.record(cuda::compute_stream());  // its batch's last use is enqueued by now
  slot.copied.wait();                              // then the page-locked buffer is free
  slot.hold(host.bytes());
  std::memcpy(slot.pinned, host.in().data, static_cast<size_t>(host.bytes()));
  slot.consumed.hold(cuda::copy_stream());
  cuda::copy_async(slot.there.out().data, slot.pinned, static_cast<size_t>(host.bytes()), cuda::copy_stream());
  slot.copied.record(cuda::copy_stream());
  slot.copied.hold(cuda::compute_stream());
  return slot.there.slice(0, host.bytes()).reshape(host.shape());
}

#else

struct Upload::Slot {};

Tensor Upload::operator()(const Tensor&) { kernels::no_cuda("upload"); }

#endif

Upload::Upload() = default;
Upload::~Upload() = default;

}  // namespace gestalt
