// Controls and overview of the emulated CUDA device, which runs kernels/cuda/*.cu on the CPU and finds their faults.
//
// How it works. The directory include/ holds headers with CUDA's names; put first on the include path, they let the
// host compiler translate a .cu file as plain C++. There is no lockstep and no parallelism:
//
//  - Work enqueued on a stream (stream.cpp) waits in a list until something synchronises, so a host that reads too
//    early reads old data. Events order streams, and by `Order` streams overtake each other where none does; a
//    captured graph is the recorded list.
//  - A kernel (execution.cpp) runs block after block, each thread on a fiber of its own (Boost.Context), until it must
//    wait: at a barrier for the block, at a shuffle, vote or matrix product for the lanes its mask names. Which ready
//    thread and which block goes next is set by `Order`. A result that depends on it lacks a barrier.
//  - When no thread can go on, a barrier or a warp operation was not reached by all it needs: that is reported with the
//    file and line where the others wait.
//  - Global memory (memory.cpp) and shared variables (shared.h) start as bytes of 0xFF, NaN in every floating dtype,
//    and end at an inaccessible page; the bytes before them are checked after each block. Shared memory is poisoned
//    anew for each block. Outside of running work, device memory is inaccessible to the host too.
//  - Asynchronous copies to shared memory (primitives.h) happen when they are waited for, or at once: `Order` says.
//  - What is exact on the CPU and not on a device errs as much here: quick exponentials by a unit in the last place,
//    sums of matrix fragments are cut off, f32 convolutions that were not asked to be exact round their factors to
//    tf32.
//  - Misaligned accesses are reported (alignment.cpp).
//  - cuBLASLt and cuDNN (blas.cpp, dnn.cpp) have the project's part of their interface, computed in f32 on the CPU.
//
// Kernels declare shared memory with GESTALT_SHARED and GESTALT_DYNAMIC_SHARED (kernels/cuda/launch.cuh). A fault
// prints "[emulator] …" on stderr and ends the program with abort().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emulator {

// The order in which ready threads, and the blocks of a grid, run. The environment variable GESTALT_EMULATOR_ORDER
// (forward, reverse or random) sets the first one.
enum class Order { forward, reverse, random };
void set_order(Order, uint64_t seed = 1);
Order order();

// Bytes of global memory; more is refused with cudaErrorMemoryAllocation. 16 GiB unless set.
void set_memory_limit(size_t bytes);

// Bytes of shared memory that a block can ask for, as the devices differ: 227 KiB on sm_90 (the default), 163 KiB on
// sm_80, 99 KiB on sm_86 and sm_89.
void set_shared_limit(size_t bytes);

// Elements that a tensor of cuDNN's can have: 2³¹ − 1 unless set.
void set_tensor_limit(int64_t elements);

// Whether host code that touches device memory faults (the default).
void set_host_protection(bool on);

// What the device has done since the start.
struct Counters {
  uint64_t launches = 0, blocks = 0, switches = 0;
  uint64_t bytes_in_use = 0, allocations_live = 0;
};
Counters counters();

// Names of the profiler ranges opened since record_ranges(), oldest first, among them "cudaProfilerStart" and
// "cudaProfilerStop"; none before it.
void record_ranges();
std::vector<std::string> recorded_ranges();

// Where a barrier or warp operation stands in the source.
struct Site {
  const char* file;
  int line;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
  bool operator==(const Site&) const = default;
};

// Prints the message with what is running, and aborts.
[[noreturn]] void fault(const std::string& message);

}  // namespace emulator
