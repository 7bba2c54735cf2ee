// Workspace of the CUDA libraries.
#include "kernels/cuda/library.cuh"

#include <cstdlib>
#include <mutex>

namespace gestalt::kernels::cuda {

void* library_workspace(size_t bytes) {
  static std::mutex mutex;
  static void* memory = nullptr;
  static size_t held = 0;
  const std::lock_guard lock(mutex);
  if (bytes > held) {
    const size_t wanted = std::max({bytes, 2 * held, size_t{1} << 20});
    memory = device_allocate(wanted);
    check(memory != nullptr,
          "[cuda] no memory for {:.1f} MiB of workspace for cuBLASLt and cuDNN; use a smaller --batch",
          static_cast<double>(wanted) / 1048576.0);
    held = wanted;
  }
  return memory;
}

bool tf32_allowed() {
  static const bool allowed = [] {
    const char* text = std::getenv("GESTALT_TF32");
    return text && text[0] == '1';
  }();
  return allowed;
}

}  // namespace gestalt::kernels::cuda
