// When a profiler outside of the program looks on.
#pragma once

namespace gestalt::kernels::cuda {

// Both wait for all work on the device, so that none is looked at in part. Nothing without a profiler that waits.
void start_profiler();
void stop_profiler() noexcept;  // a failure shows at the next call

}  // namespace gestalt::kernels::cuda
