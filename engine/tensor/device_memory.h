// The few things the engine asks of a device that are not kernels: memory, copies, streams.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/memory.h"

namespace gestalt {

// Whether this program can run on cuda here: the device's name and size, or why not.
struct CudaReport {
  bool found = false;
  std::string text;
};
const CudaReport& cuda_report();

void* system_allocate(size_t bytes, Device);  // null when there is none
void system_release(void* memory, size_t bytes, Device) noexcept;
// Copies on `stream_of(either cuda side)`; a copy to the host has arrived when this returns.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes);
void synchronize(Device);  // waits until all work on the device is done

struct DeviceRoom {
  size_t free = 0, total = 0;  // bytes
};
DeviceRoom device_room();   // of the CUDA device
const char* last_kernel();  // the kernel that was launched last on CUDA

}  // namespace gestalt
