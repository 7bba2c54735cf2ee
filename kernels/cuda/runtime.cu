// CUDA memory, streams, graphs and the scope around each launch.
#include "kernels/cuda/runtime.h"

#include <cuda_profiler_api.h>
#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>

#include "kernels/cuda/profiler.h"
#include "kernels/cuda/status.cuh"

namespace gestalt::kernels::cuda {
namespace {

struct Streams {
  cudaStream_t compute = nullptr, copy = nullptr, memory = nullptr;
  int multiprocessors = 0;

  Streams() {
    std::string text;
    check(find_device(text), "[cuda] {}; use --device cpu", text);
    GESTALT_CUDA_CHECK(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking));
    GESTALT_CUDA_CHECK(cudaStreamCreateWithFlags(&copy, cudaStreamNonBlocking));
    GESTALT_CUDA_CHECK(cudaStreamCreateWithFlags(&memory, cudaStreamNonBlocking));
    GESTALT_CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    int pools = 0;
    GESTALT_CUDA_CHECK(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, 0));
    check(pools != 0, "[cuda] {} has no stream-ordered memory; use --device cpu", text);
  }
};

// Never destroyed: the driver may be gone by then.
const Streams& streams() {
  static const Streams* s = new Streams;
  return *s;
}

thread_local const char* last_launched = "";

// Where nothing may be thrown: says what failed.
void report(cudaError_t status, const char* call) noexcept {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  fmt::print(stderr, "[cuda] {} failed with {}\n", call, cudaGetErrorName(status));
}

// What the graph under capture will own. One capture at a time, on the thread that trains.
struct Capture {
  bool active = false;
  std::vector<void*> kept;
};
Capture& capture() {
  static Capture* c = new Capture;
  return *c;
}

cudaStream_t handle(Stream s) { return static_cast<cudaStream_t>(s.handle); }

// A stream of its own, so that memory can be had while the compute stream is being captured. Null where there is none.
void* try_allocate(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocAsync(&memory, bytes, streams().memory);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  GESTALT_CUDA_CHECK(status);
  GESTALT_CUDA_CHECK(cudaStreamSynchronize(streams().memory));
  return memory;
}

// Page-locked memory that small copies from the host go through, so that the host's own is free when they return.
class Staging {
 public:
  static constexpr size_t most_bytes = size_t{1} << 20;

  void copy(void* to, const void* from, size_t bytes, Stream stream) {
    const std::lock_guard lock(mutex_);
    Slot& slot = slots_[next_++ % slots_.size()];
    if (!slot.memory) slot.memory = pinned_allocate(most_bytes);
    slot.read.wait();
    std::memcpy(slot.memory, from, bytes);
    copy_async(to, slot.memory, bytes, stream);
    slot.read.record(stream);
  }

 private:
  struct Slot {
    void* memory = nullptr;
    Event read;
  };
  std::mutex mutex_;
  std::array<Slot, 8> slots_;
  size_t next_ = 0;
};

Staging& staging() {
  static Staging* s = new Staging;
  return *s;
}

bool synchronous() {
  static const bool on = [] {
    const char* text = std::getenv("GESTALT_SYNC");
    return text && text[0] == '1';
  }();
  return on;
}

}  // namespace

bool find_device(std::string& text) {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    cudaGetLastError();  // the next call starts clean
    text = fmt::format("no CUDA device was found ({})", status == cudaSuccess ? "none" : cudaGetErrorString(status));
    return false;
  }
  cudaDeviceProp p;
  GESTALT_CUDA_CHECK(cudaGetDeviceProperties(&p, 0));
  text = fmt::format("{}, sm_{}{}, {} multiprocessors, {:.0f} GiB", p.name, p.major, p.minor, p.multiProcessorCount,
                     static_cast<double>(p.totalGlobalMem) / (1 << 30));
  return true;
}

void* device_allocate(size_t bytes) {
  void* memory = try_allocate(bytes);
  if (memory || capture().active) return memory;
  // What was released is free once the compute stream has passed, and fit for any size once the driver has it back.
  cudaMemPool_t pool;
  GESTALT_CUDA_CHECK(cudaStreamSynchronize(streams().compute));
  GESTALT_CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
  GESTALT_CUDA_CHECK(cudaMemPoolTrimTo(pool, 0));
  return try_allocate(bytes);
}

void device_release(void* memory) noexcept {
  if (capture().active)
    capture().kept.push_back(memory);
  else
    report(cudaFreeAsync(memory, streams().compute), "cudaFreeAsync");
}

void* pinned_allocate(size_t bytes) {
  void* memory = nullptr;
  GESTALT_CUDA_CHECK(cudaMallocHost(&memory, bytes));
  return memory;
}

void pinned_release(void* memory) noexcept { report(cudaFreeHost(memory), "cudaFreeHost"); }

Stream compute_stream() { return {Device::cuda, streams().compute}; }
Stream copy_stream() { return {Device::cuda, streams().copy}; }
void synchronize() { GESTALT_CUDA_CHECK(cudaDeviceSynchronize()); }
void synchronize(Stream stream) { GESTALT_CUDA_CHECK(cudaStreamSynchronize(handle(stream))); }

void wait(Stream later, Stream earlier) {
  cudaEvent_t event;
  GESTALT_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  GESTALT_CUDA_CHECK(cudaEventRecord(event, handle(earlier)));
  GESTALT_CUDA_CHECK(cudaStreamWaitEvent(handle(later), event, 0));
  GESTALT_CUDA_CHECK(cudaEventDestroy(event));  // CUDA keeps it until it has passed
}

void copy(void* to, Device to_device, const void* from, Device from_device, size_t bytes, Stream stream) {
  const bool down = to_device == Device::cpu, up = from_device == Device::cpu;
  if (up && !capture().active && bytes <= Staging::most_bytes) return staging().copy(to, from, bytes, stream);
  const cudaMemcpyKind kind = down ? cudaMemcpyDeviceToHost : up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToDevice;
  GESTALT_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, handle(stream)));
  if (down || up) GESTALT_CUDA_CHECK(cudaStreamSynchronize(handle(stream)));
}

void copy_async(void* to, const void* from, size_t bytes, Stream stream) {
  GESTALT_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, handle(stream)));
}

Event::~Event() {
  if (event_) report(cudaEventDestroy(static_cast<cudaEvent_t>(event_)), "cudaEventDestroy");
}

void Event::record(Stream stream) {
  cudaEvent_t event = static_cast<cudaEvent_t>(event_);
  if (!event) GESTALT_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  event_ = event;
  GESTALT_CUDA_CHECK(cudaEventRecord(event, handle(stream)));
}

void Event::hold(Stream stream) const {
  if (event_) GESTALT_CUDA_CHECK(cudaStreamWaitEvent(handle(stream), static_cast<cudaEvent_t>(event_), 0));
}

void Event::wait() const {
  if (event_) GESTALT_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event_)));
}

int multiprocessors() { return streams().multiprocessors; }
size_t most_shared_bytes() {
  int bytes = 0;
  GESTALT_CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  return static_cast<size_t>(bytes);
}
void memory_room(size_t& free, size_t& total) { GESTALT_CUDA_CHECK(cudaMemGetInfo(&free, &total)); }
const char* last_kernel() { return last_launched; }

void push_range(const char* name) { nvtxRangePushA(name); }
void pop_range() { nvtxRangePop(); }

void start_profiler() {
  synchronize();
  GESTALT_CUDA_CHECK(cudaProfilerStart());
}
void stop_profiler() noexcept {
  cudaDeviceSynchronize();
  cudaProfilerStop();
}

Timer::Timer() {
  for (void** event : {&begin_, &end_}) {
    cudaEvent_t created;
    GESTALT_CUDA_CHECK(cudaEventCreate(&created));
    *event = created;
  }
}
Timer::~Timer() {
  for (void* event : {begin_, end_}) cudaEventDestroy(static_cast<cudaEvent_t>(event));
}
void Timer::begin() { GESTALT_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(begin_), streams().compute)); }
void Timer::end() { GESTALT_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(end_), streams().compute)); }
double Timer::milliseconds() const {
  float ms = 0;
  GESTALT_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(end_)));
  GESTALT_CUDA_CHECK(cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(begin_), static_cast<cudaEvent_t>(end_)));
  return ms;
}

Timeline::~Timeline() {
  for (void* event : events_) report(cudaEventDestroy(static_cast<cudaEvent_t>(event)), "cudaEventDestroy");
}

bool Timeline::mark() {
  if (capture().active) return false;
  if (used_ == events_.size()) {
    cudaEvent_t created;
    GESTALT_CUDA_CHECK(cudaEventCreate(&created));
    events_.push_back(created);
  }
  GESTALT_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(events_[used_]), streams().compute));
  ++used_;
  return true;
}

std::vector<double> Timeline::read() {
  std::vector<double> times;
  const auto event = [&](size_t i) { return static_cast<cudaEvent_t>(events_[i]); };
  for (size_t i = 1; i < used_ && cudaEventQuery(event(i)) == cudaSuccess; ++i) {
    float ms = 0;
    GESTALT_CUDA_CHECK(cudaEventElapsedTime(&ms, event(i - 1), event(i)));
    times.push_back(ms);
  }
  const auto begin = events_.begin(), passed = begin + static_cast<int64_t>(times.size());
  std::rotate(begin, passed, begin + static_cast<int64_t>(used_));
  used_ -= times.size();
  return times;
}

Range::Range(const char* name) { nvtxRangePushA(name); }
Range::~Range() { nvtxRangePop(); }

LaunchScope::LaunchScope(const char* kernel, Stream stream) : kernel_(kernel), stream_(stream) {
  nvtxRangePushA(kernel);
  last_launched = kernel;
}

LaunchScope::~LaunchScope() noexcept(false) {
  nvtxRangePop();
  if (!synchronous() || std::uncaught_exceptions() > 0) return;
  if (capture().active) return;  // captured, not run
  const cudaError_t status = cudaStreamSynchronize(handle(stream_));
  check(status == cudaSuccess, "[{}] failed on the device with {}", kernel_, cudaGetErrorName(status));
}

Graph::~Graph() { reset(); }

void Graph::reset() {
  if (executable_) report(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_)), "cudaGraphExecDestroy");
  executable_ = nullptr;
  for (void* memory : kept_) device_release(memory);
  kept_.clear();
}

void Graph::begin() {
  reset();
  check(!capture().active, "[graph] a capture is under way already");
  // Relaxed: the allocator may need a new segment on its own stream meanwhile.
  GESTALT_CUDA_CHECK(cudaStreamBeginCapture(streams().compute, cudaStreamCaptureModeRelaxed));
  capture().active = true;
}

void Graph::end() {
  check(capture().active, "[graph] end without begin");
  capture().active = false;
  kept_.swap(capture().kept);
  cudaGraph_t graph;
  GESTALT_CUDA_CHECK(cudaStreamEndCapture(streams().compute, &graph));
  cudaGraphExec_t executable;
  GESTALT_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
  GESTALT_CUDA_CHECK(cudaGraphDestroy(graph));
  executable_ = executable;
}

void Graph::abandon() noexcept {
  capture().active = false;
  kept_.swap(capture().kept);
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(streams().compute, &graph);  // fails where the capture did
  if (graph) report(cudaGraphDestroy(graph), "cudaGraphDestroy");
  cudaGetLastError();
  reset();
}

void Graph::launch() {
  check(executable_ != nullptr, "[graph] launched before it was captured");
  GESTALT_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_), streams().compute));
}

}  // namespace gestalt::kernels::cuda
