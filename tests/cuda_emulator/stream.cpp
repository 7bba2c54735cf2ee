// Streams, events and graphs.
#include "tests/cuda_emulator/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "tests/cuda_emulator/execution.h"
#include "tests/cuda_emulator/memory.h"

using emulator::Operation;
using emulator::status;

struct CUgraph_st {
  std::vector<Operation> operations;
  bool invalid = false;
};
struct CUgraphExec_st {
  std::vector<Operation> operations;
};
struct CUstream_st {
  std::deque<Operation> waiting;
  std::shared_ptr<CUgraph_st> capture;
  bool origin = false;  // where the capture began
  bool busy = false;    // its first operation is running
};

// Since the event was last recorded.
struct emulator::Mark {
  cudaStream_t stream;
  bool passed = false;
  std::chrono::steady_clock::time_point time;
  std::weak_ptr<CUgraph_st> capture;
};

namespace {

using emulator::Mark;

struct Runtime {
  std::recursive_mutex mutex;
  CUstream_st null_stream;
  std::vector<cudaStream_t> streams;
  cudaError_t last = cudaSuccess;
  cudaStream_t reads_pageable = nullptr;
};

Runtime& runtime() {
  static Runtime* r = new Runtime;
  return *r;
}

cudaStream_t resolve(cudaStream_t s) { return s ? s : &runtime().null_stream; }

using Lock = std::lock_guard<std::recursive_mutex>;

void run_one(cudaStream_t s);

// In forward order a stream's work is done when something waits for it. In the other orders streams overtake each other
// wherever no event keeps them from it: in reverse order the others go first, in random order some of their work does.
void let_others_overtake() {
  if (emulator::order() == emulator::Order::forward) return;
  for (cudaStream_t other : std::vector<cudaStream_t>(runtime().streams))
    while (!other->busy && !other->waiting.empty() &&
           (emulator::order() == emulator::Order::reverse || emulator::coin())) {
      const Mark* awaited = other->waiting.front().awaits.get();
      if (awaited && !awaited->passed) break;
      run_one(other);
    }
}

void run_one(cudaStream_t s) {
  s->busy = true;
  let_others_overtake();
  const Operation next = std::move(s->waiting.front());
  s->waiting.pop_front();
  next.run();
  s->busy = false;
}

void wait_for(const std::shared_ptr<Mark>& mark) {
  const emulator::DeviceAccess access;
  while (!mark->passed && !mark->stream->waiting.empty()) run_one(mark->stream);
}

}  // namespace

struct CUevent_st {
  std::shared_ptr<Mark> mark;
};

namespace emulator {

std::recursive_mutex& runtime_mutex() { return runtime().mutex; }

void drain(cudaStream_t stream) {
  cudaStream_t s = resolve(stream);
  if (runtime().reads_pageable == s) runtime().reads_pageable = nullptr;
  if (s->waiting.empty()) return;  // opening and closing all of device memory takes long
  const DeviceAccess access;
  while (!s->waiting.empty()) run_one(s);
}

void drain_all() {
  std::vector<cudaStream_t> all = runtime().streams;
  all.push_back(&runtime().null_stream);
  if (order() != Order::forward) std::reverse(all.begin(), all.end());
  for (cudaStream_t s : all) drain(s);
}

void note_pageable_copy(cudaStream_t s) { runtime().reads_pageable = s; }

bool capturing(cudaStream_t s) { return resolve(s)->capture != nullptr; }

bool any_capture() {
  const auto& all = runtime().streams;
  return std::any_of(all.begin(), all.end(), [](cudaStream_t s) { return s->capture != nullptr; });
}

void invalidate_captures() {
  for (cudaStream_t s : runtime().streams)
    if (s->capture) s->capture->invalid = true;
}

cudaError_t status(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) runtime().last = error;
  return error;
}

cudaError_t enqueue(cudaStream_t stream, const char* name, std::function<void()> run) {
  const Lock lock(runtime().mutex);
  if (runtime().reads_pageable)
    fault(
        "a copy from pageable memory may not have read it when the call returns: wait for its stream before more work, "
        "or copy from page-locked memory");
  cudaStream_t s = resolve(stream);
  if (s->capture) {
    s->capture->operations.push_back({name, std::move(run)});
    return cudaSuccess;
  }
  // The default stream waits for all others, so its work is done at once.
  if (s == &runtime().null_stream) drain_all();
  s->waiting.push_back({name, std::move(run)});
  if (s == &runtime().null_stream) drain(s);
  return cudaSuccess;
}

}  // namespace emulator

cudaError_t cudaGetLastError() { return std::exchange(runtime().last, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return runtime().last; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Lock lock(runtime().mutex);
  runtime().streams.push_back(*stream = new CUstream_st);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  if (!stream) return status(cudaErrorInvalidResourceHandle);
  emulator::drain(stream);
  std::erase(runtime().streams, stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  if (emulator::capturing(stream)) {
    emulator::invalidate_captures();
    return status(cudaErrorStreamCaptureUnsupported);
  }
  emulator::drain(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  return resolve(stream)->waiting.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize() {
  const Lock lock(runtime().mutex);
  if (emulator::any_capture()) {
    emulator::invalidate_captures();
    return status(cudaErrorStreamCaptureUnsupported);
  }
  emulator::drain_all();
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*function)(void*), void* argument) {
  return emulator::enqueue(stream, "host function", [function, argument] { function(argument); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Lock lock(runtime().mutex);
  cudaStream_t s = resolve(stream);
  auto mark = std::make_shared<Mark>();
  mark->stream = s;
  mark->capture = s->capture;
  event->mark = mark;
  if (s->capture) return cudaSuccess;  // an edge between captured streams, whose work stays in the order of capture
  return emulator::enqueue(stream, "event record", [mark] {
    mark->time = std::chrono::steady_clock::now();
    mark->passed = true;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock(runtime().mutex);
  cudaStream_t s = resolve(stream);
  if (!event->mark) return cudaSuccess;  // never recorded
  if (auto capture = event->mark->capture.lock()) {
    s->capture = capture;  // the stream joins the capture
    return cudaSuccess;
  }
  if (s->capture) return status(cudaErrorStreamCaptureUnsupported);
  emulator::enqueue(stream, "event wait", [mark = event->mark] { wait_for(mark); });
  if (s != &runtime().null_stream) s->waiting.back().awaits = event->mark;
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(runtime().mutex);
  if (event->mark && event->mark->capture.lock()) return status(cudaErrorStreamCaptureUnsupported);
  if (event->mark) wait_for(event->mark);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(runtime().mutex);
  return !event->mark || event->mark->passed ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const Lock lock(runtime().mutex);
  if (!begin->mark || !end->mark) return status(cudaErrorInvalidResourceHandle);
  if (!begin->mark->passed || !end->mark->passed) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->mark->time - begin->mark->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Lock lock(runtime().mutex);
  if (!stream || stream->capture) return status(cudaErrorStreamCaptureUnsupported);
  stream->capture = std::make_shared<CUgraph_st>();
  stream->origin = true;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(runtime().mutex);
  *graph = nullptr;
  if (!stream || !stream->capture || !stream->origin) return status(cudaErrorStreamCaptureInvalidated);
  const auto captured = stream->capture;
  for (cudaStream_t s : runtime().streams)
    if (s->capture == captured) s->capture.reset();
  stream->origin = false;
  if (captured->invalid) return status(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st(*captured);
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* state) {
  const Lock lock(runtime().mutex);
  const auto& capture = resolve(stream)->capture;
  *state = !capture           ? cudaStreamCaptureStatusNone
           : capture->invalid ? cudaStreamCaptureStatusInvalidated
                              : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->operations};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const Operation& o : executable->operations) emulator::enqueue(stream, o.name.c_str(), o.run);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void*, size_t* count) {
  *count = graph->operations.size();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
