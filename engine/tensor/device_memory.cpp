// Memory, copies and streams of the CPU and, where it is built, of CUDA.
#include "engine/tensor/device_memory.h"

#include <sys/mman.h>

#include <cstring>

#include "engine/tensor/tensor.h"
#include "kernels/launch.h"
#if GESTALT_WITH_CUDA
#include "kernels/cuda/runtime.h"
#endif

namespace gestalt {

namespace {
[[maybe_unused]] void refuse_cuda() {
  fail("[device] got device cuda, but this build has none; configure with -DGESTALT_CUDA=ON");
}
}  // namespace

const CudaReport& cuda_report() {
  static const CudaReport report = [] {
    CudaReport r;
#if GESTALT_WITH_CUDA
    r.found = kernels::cuda::find_device(r.text);
#else
    r.text = "built without CUDA";
#endif
    return r;
  }();
  return report;
}

void* system_allocate(size_t bytes, Device device) {
  if (device == Device::cuda) {
#if GESTALT_WITH_CUDA
    return kernels::cuda::device_allocate(bytes);
#else
    refuse_cuda();
#endif
  }
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: fewer page faults and TLB misses on large segments
  return memory;
}

void system_release(void* memory, size_t bytes, Device device) noexcept {
  if (device == Device::cpu) {
    munmap(memory, bytes);
    return;
  }
#if GESTALT_WITH_CUDA
  kernels::cuda::device_release(memory);
#endif
}

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  if (bytes == 0) return;
  if (to_device == Device::cpu && from_device == Device::cpu) {
    std::memcpy(to, from, bytes);
    return;
  }
#if GESTALT_WITH_CUDA
  kernels::cuda::copy(to, to_device, from, from_device, bytes, current_stream(Device::cuda));
#else
  refuse_cuda();
#endif
}

void synchronize(Device device) {
#if GESTALT_WITH_CUDA
  if (device == Device::cuda) kernels::cuda::synchronize();
#else
  if (device == Device::cuda) refuse_cuda();
#endif
}

DeviceRoom device_room() {
  DeviceRoom room;
#if GESTALT_WITH_CUDA
  kernels::cuda::memory_room(room.free, room.total);
#endif
  return room;
}

const char* last_kernel() {
#if GESTALT_WITH_CUDA
  return kernels::cuda::last_kernel();
#else
  return "";
#endif
}

Stream current_stream(Device device) {
#if GESTALT_WITH_CUDA
  if (device == Device::cuda) return kernels::cuda::compute_stream();
#else
  if (device == Device::cuda) refuse_cuda();
#endif
  return {Device::cpu, nullptr};
}

}  // namespace gestalt
