// Streams as lists of waiting work, events as marks in them, graphs as recorded lists.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cuda_emulator/runtime_api.h"

namespace emulator {

struct Mark;  // what an event stands for

struct Operation {
  std::string name;
  std::function<void()> run;
  std::shared_ptr<Mark> awaits;  // of an event wait
};

// Held through every call of the runtime: host threads take turns.
std::recursive_mutex& runtime_mutex();

// Runs what waits on the stream, to its end. Null is the default stream.
void drain(cudaStream_t);
void drain_all();
bool capturing(cudaStream_t);
bool any_capture();
void invalidate_captures();

// A copy from pageable memory was enqueued on the stream: until the stream is waited for it may not have read it.
void note_pageable_copy(cudaStream_t);

// Remembers the error for cudaGetLastError.
cudaError_t status(cudaError_t);
const char* current_range();  // the innermost profiler range, or ""

}  // namespace emulator
