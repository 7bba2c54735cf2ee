// Device properties, memory calls, launches and profiler ranges.
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <unordered_map>

#include "tests/cuda_emulator/execution.h"
#include "tests/cuda_emulator/include/cuda_profiler_api.h"
#include "tests/cuda_emulator/include/nvtx3/nvToolsExt.h"
#include "tests/cuda_emulator/memory.h"
#include "tests/cuda_emulator/stream.h"

using emulator::status;

namespace {

using Lock = std::lock_guard<std::recursive_mutex>;

constexpr size_t unasked_shared = 48 << 10;
size_t most_shared = 227 << 10;

struct Host {
  std::map<const char*, size_t> pinned;
  std::unordered_map<const void*, int> dynamic_limit;  // by kernel
  std::optional<std::vector<std::string>> ranges;      // once somebody asked
};
Host& host() {
  static Host* h = new Host;
  return *h;
}

thread_local std::vector<std::string> open_ranges;

bool is_pinned(const void* address) {
  const auto& pinned = host().pinned;
  auto after = pinned.upper_bound(static_cast<const char*>(address));
  if (after == pinned.begin()) return false;
  --after;
  return static_cast<const char*>(address) < after->first + after->second;
}

bool is_pageable(const void* address) {
  return emulator::kind_of(address) == emulator::Kind::host && !is_pinned(address);
}

void copy_now(void* to, const void* from, size_t bytes) {
  emulator::check_range(to, bytes, "a copy to");
  emulator::check_range(from, bytes, "a copy from");
  std::memmove(to, from, bytes);
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevicePointer:
      return "cudaErrorInvalidDevicePointer";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
  }
  return "an unknown error";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : status(cudaErrorInvalidValue); }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  properties->totalGlobalMem = emulator::memory_limit();
  properties->sharedMemPerBlock = unasked_shared;
  properties->sharedMemPerBlockOptin = most_shared;
  properties->sharedMemPerMultiprocessor = 228 << 10;
  properties->major = 9;
  properties->multiProcessorCount = 4;  // few, so that grids sized by it stay small
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->regsPerBlock = 65536;
  properties->warpSize = 32;
  properties->l2CacheSize = 50 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  cudaGetDeviceProperties(&p, device);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const Lock lock(emulator::runtime_mutex());
  *memory = emulator::allocate_global(bytes);
  return *memory ? cudaSuccess : status(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* memory) {
  const Lock lock(emulator::runtime_mutex());
  if (!memory) return cudaSuccess;
  emulator::drain_all();
  return emulator::release_global(memory) ? cudaSuccess : status(cudaErrorInvalidValue);
}

cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream) {
  const Lock lock(emulator::runtime_mutex());
  if (emulator::capturing(stream)) return status(cudaErrorStreamCaptureUnsupported);
  return cudaMalloc(memory, bytes);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  const Lock lock(emulator::runtime_mutex());
  if (!memory) return cudaSuccess;
  if (emulator::kind_of(memory) != emulator::Kind::device) return status(cudaErrorInvalidValue);
  if (emulator::capturing(stream)) return status(cudaErrorStreamCaptureUnsupported);
  return emulator::enqueue(stream, "free", [memory] { emulator::release_global(memory); });
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  const Lock lock(emulator::runtime_mutex());
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!*memory) return status(cudaErrorMemoryAllocation);
  host().pinned[static_cast<const char*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  const Lock lock(emulator::runtime_mutex());
  if (!memory) return cudaSuccess;
  if (host().pinned.erase(static_cast<const char*>(memory)) == 0) return status(cudaErrorInvalidValue);
  emulator::drain_all();
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Lock lock(emulator::runtime_mutex());
  emulator::Counters c;
  emulator::add_memory_counters(c);
  *total = emulator::memory_limit();
  *free = *total - c.bytes_in_use;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) { return *pool = nullptr, cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  const Lock lock(emulator::runtime_mutex());
  if (bytes == 0) return cudaSuccess;
  const bool staged = is_pageable(from), returned = is_pageable(to);
  if (emulator::capturing(stream) && (staged || returned)) {
    emulator::invalidate_captures();
    return status(cudaErrorStreamCaptureUnsupported);
  }
  if (staged) {  // read now, though the device promises it only for when the stream has passed
    std::string copy(static_cast<const char*>(from), bytes);
    emulator::enqueue(stream, "copy", [to, copy = std::move(copy)] { copy_now(to, copy.data(), copy.size()); });
    emulator::note_pageable_copy(stream);
    return cudaSuccess;
  }
  const cudaError_t error = emulator::enqueue(stream, "copy", [to, from, bytes] { copy_now(to, from, bytes); });
  if (returned) emulator::drain(stream);  // as the device does for pageable targets
  return error;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  return emulator::enqueue(stream, "memset", [memory, value, bytes] {
    emulator::check_range(memory, bytes, "a memset");
    std::memset(memory, value, bytes);
  });
}
cudaError_t cudaMemset(void* memory, int value, size_t bytes) { return cudaMemsetAsync(memory, value, bytes, nullptr); }

namespace emulator {

void set_shared_limit(size_t bytes) { most_shared = bytes; }

const char* current_range() { return open_ranges.empty() ? "" : open_ranges.back().c_str(); }

cudaError_t set_function_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Lock lock(runtime_mutex());
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > most_shared) return status(cudaErrorInvalidValue);
  host().dynamic_limit[kernel] = value;
  return cudaSuccess;
}

namespace {

// GESTALT_EMULATOR_LAUNCHES names a file that gets a line for each kernel when the program ends: where it lies in the
// program, and the most threads and bytes of dynamic shared memory that a block of it had.
class LaunchRecord {
 public:
  ~LaunchRecord() {
    std::FILE* file = path_ ? std::fopen(path_, "a") : nullptr;
    if (!file) return;
    for (const auto& [kernel, most] : most_) {
      Dl_info program{};
      dladdr(kernel, &program);
      const auto offset = static_cast<const char*>(kernel) - static_cast<const char*>(program.dli_fbase);
      fmt::print(file, "{:x} {} {}\n", offset, most.first, most.second);
    }
    std::fclose(file);
  }
  void add(const void* kernel, uint64_t threads, size_t dynamic) {
    if (!path_) return;
    auto& [most_threads, most_dynamic] = most_[kernel];
    most_threads = std::max(most_threads, threads);
    most_dynamic = std::max(most_dynamic, dynamic);
  }

 private:
  const char* path_ = std::getenv("GESTALT_EMULATOR_LAUNCHES");
  std::map<const void*, std::pair<uint64_t, size_t>> most_;
};

}  // namespace

cudaError_t enqueue_launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread) {
  const Lock lock(runtime_mutex());
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  const bool shape = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu && grid.y <= 65535 &&
                     grid.z <= 65535 && block.x > 0 && block.y > 0 && block.z > 0 && block.z <= 64 &&
                     uint64_t{block.x} * block.y * block.z <= 1024;
  if (!shape) return status(cudaErrorInvalidConfiguration);
  const auto limit = host().dynamic_limit.find(kernel);
  const bool asked = limit != host().dynamic_limit.end();
  if (config.dynamicSmemBytes > (asked ? limit->second : unasked_shared)) return status(cudaErrorInvalidValue);
  for (unsigned i = 0; i < config.numAttrs; ++i)
    if (config.attrs[i].id == cudaLaunchAttributeClusterDimension) {
      const auto& c = config.attrs[i].val.clusterDim;
      if (c.x * c.y * c.z > 1) return status(cudaErrorNotSupported);
    }
  static LaunchRecord record;
  record.add(kernel, uint64_t{block.x} * block.y * block.z, config.dynamicSmemBytes);
  Launch launch{current_range(),  grid, block, config.dynamicSmemBytes, asked ? most_shared : unasked_shared,
                std::move(thread)};
  if (launch.name.empty()) launch.name = fmt::format("at {}", kernel);
  return enqueue(config.stream, launch.name.c_str(), [launch = std::move(launch)] { execute(launch); });
}

void record_ranges() {
  const Lock lock(runtime_mutex());
  host().ranges.emplace();
}

std::vector<std::string> recorded_ranges() {
  const Lock lock(runtime_mutex());
  return host().ranges.value_or(std::vector<std::string>());
}

namespace {

void record_range(const char* name) {
  if (host().ranges) host().ranges->emplace_back(name);
}

}  // namespace

}  // namespace emulator

cudaError_t cudaProfilerStart() {
  const Lock lock(emulator::runtime_mutex());
  emulator::record_range("cudaProfilerStart");
  return cudaSuccess;
}
cudaError_t cudaProfilerStop() {
  const Lock lock(emulator::runtime_mutex());
  emulator::record_range("cudaProfilerStop");
  return cudaSuccess;
}

int nvtxRangePushA(const char* name) {
  const Lock lock(emulator::runtime_mutex());
  open_ranges.emplace_back(name);
  emulator::record_range(name);
  return static_cast<int>(open_ranges.size()) - 1;
}
int nvtxRangePop() {
  if (open_ranges.empty()) emulator::fault("a profiler range was closed that nobody opened");
  open_ranges.pop_back();
  return static_cast<int>(open_ranges.size());
}
