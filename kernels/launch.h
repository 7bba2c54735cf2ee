// The one door to a kernel: chooses the device, and is the place for profiles, profiler ranges and synchronous
// debugging.
//
// A kernel is an argument struct followed by GESTALT_KERNEL(Name) and its cost(const Name&). Each backend defines
// `run(const Name&, Stream)` in the file of the same name under cpu/ and cuda/; a forgotten one is a link error that
// names it.
#pragma once

#include "kernels/cost.h"
#include "kernels/cpu/level.h"
#include "kernels/memory.h"
#include "kernels/scratch.h"

#ifndef GESTALT_WITH_CUDA
#define GESTALT_WITH_CUDA 0
#endif

#if GESTALT_WITH_CUDA
#define GESTALT_RUN_CUDA(args, stream) cuda::run(args, stream)
#else
#define GESTALT_RUN_CUDA(args, stream) no_cuda(kernel_name(args))
#endif

#define GESTALT_KERNEL(Args)                                                     \
  GESTALT_ON_CPU_DECLARE(void run(const Args&, Stream))                          \
  namespace cuda {                                                               \
  void run(const Args&, Stream);                                                 \
  }                                                                              \
  inline const char* kernel_name(const Args&) { return #Args; }                  \
  inline void run_on_cpu(const Args& k, Stream s) { GESTALT_ON_CPU(run(k, s)); } \
  inline void run_on_cuda(const Args& k, [[maybe_unused]] Stream s) { GESTALT_RUN_CUDA(k, s); }

namespace gestalt::kernels {

constexpr bool built_with_cuda = GESTALT_WITH_CUDA;

#if GESTALT_WITH_CUDA
namespace cuda {
// Opens a profiler range named after the kernel, and closes it; with GESTALT_SYNC=1 waits and checks for errors.
class LaunchScope {
 public:
  LaunchScope(const char* kernel, Stream stream);
  ~LaunchScope() noexcept(false);

 private:
  const char* kernel_;
  Stream stream_;
};
}  // namespace cuda
#endif

[[noreturn]] inline void no_cuda(const char* kernel) {
  fail("[{}] got device cuda, but this build has none; configure with -DGESTALT_CUDA=ON", kernel);
}

// One launch, as observers see it.
struct LaunchInfo {
  const char* kernel;  // the name of its argument struct
  const void* args;
  Cost (*cost_of)(const void* args);
  Stream stream;

  Cost cost() const { return cost_of(args); }
};

// Told of each launch while one is set, as a profile does.
class LaunchObserver {
 public:
  virtual ~LaunchObserver() = default;
  virtual void begin(const LaunchInfo& launch) = 0;
  virtual void end(Stream stream) = 0;
  // Whether launches run; if not, what they would write stays as it was.
  virtual bool runs() const { return true; }
};
inline LaunchObserver* launch_observer = nullptr;

class ObservedLaunch {
 public:
  explicit ObservedLaunch(const LaunchInfo& launch) : stream_(launch.stream) {
    if (launch_observer) launch_observer->begin(launch);
  }
  ~ObservedLaunch() {
    if (launch_observer) launch_observer->end(stream_);
  }

 private:
  Stream stream_;
};

// Where launches get their working memory; the engine's allocator sets it.
struct ScratchSource {
  void* (*take)(int64_t bytes, Stream stream) = nullptr;
  void (*give_back)(void* memory, Stream stream) = nullptr;
};
inline ScratchSource scratch_source;

// A kernel that needs working memory has `inline int64_t scratch_bytes(const Args&, Device)` beside its struct: as much
// is there for the time of the launch, aligned to 256 bytes, as `stream.scratch` of its run().
template <class Args>
class LaunchScratch {
 public:
  LaunchScratch(const Args& args, Stream& stream) : stream_(stream) {
    if constexpr (requires { scratch_bytes(args, stream.device); }) {
      const int64_t bytes = scratch_bytes(args, stream.device);
      if (bytes > 0) stream.scratch = scratch_source.take(bytes, stream);
    }
  }
  ~LaunchScratch() {
    if (stream_.scratch) scratch_source.give_back(stream_.scratch, stream_);
  }
  LaunchScratch(const LaunchScratch&) = delete;

 private:
  Stream& stream_;
};

// Runs the kernel on the stream's device.
template <class Args>
void launch(const Args& args, Stream stream) {
  constexpr auto cost_of = [](const void* k) { return cost(*static_cast<const Args*>(k)); };
  const ObservedLaunch observed({kernel_name(args), &args, cost_of, stream});
  const LaunchScratch<Args> scratch(args, stream);
  if (launch_observer && !launch_observer->runs()) return;
  if (stream.device == Device::cpu) return run_on_cpu(args, stream);
#if GESTALT_WITH_CUDA
  cuda::LaunchScope scope(kernel_name(args), stream);
#endif
  run_on_cuda(args, stream);
}

}  // namespace gestalt::kernels
