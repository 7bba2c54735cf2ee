// CUDA memory, streams and graphs behind types that need no CUDA header.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/launch.h"

namespace gestalt::kernels::cuda {

// Whether there is a device; `text` becomes its name and size, or why there is none. Starts nothing on it.
bool find_device(std::string& text);

// Stream-ordered: memory may be given back while work that uses it is still queued on the compute stream.
void* device_allocate(size_t bytes);  // null when the device has no more
void device_release(void* memory) noexcept;
// Page-locked host memory, for copies that overlap with computing.
void* pinned_allocate(size_t bytes);
void pinned_release(void* memory) noexcept;

Stream compute_stream();
Stream copy_stream();
void synchronize();                       // all work on the device
void synchronize(Stream);                 // all work on one stream
void wait(Stream later, Stream earlier);  // later's next work starts after what earlier holds now
// When this returns a copy to the host has arrived, and a copy from it has been read.
void copy(void* to, Device to_device, const void* from, Device from_device, size_t bytes, Stream);
// Returns at once; host memory must be page-locked and stay untouched until the stream has passed.
void copy_async(void* to, const void* from, size_t bytes, Stream);

// A point in a stream's work.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  ~Event();
  void record(Stream);      // behind what the stream holds now
  void hold(Stream) const;  // the stream's next work starts after it; nothing if it was never recorded
  void wait() const;        // on the host

 private:
  void* event_ = nullptr;
};

int multiprocessors();
// Bytes of shared memory that a block can ask for.
size_t most_shared_bytes();
void memory_room(size_t& free, size_t& total);  // bytes of the device
const char* last_kernel();                      // launched by this thread, or ""

// Opens and closes a named range in a profiler's timeline.
void push_range(const char* name);
void pop_range();

// Time on the device's own clock from begin() to the last end(), each where the compute stream stands then.
class Timer {
 public:
  Timer();
  Timer(const Timer&) = delete;
  ~Timer();
  void begin();
  void end();
  double milliseconds() const;  // waits for it

 private:
  void *begin_ = nullptr, *end_ = nullptr;
};

// Points in the compute stream's work, and the device's own time between them.
class Timeline {
 public:
  Timeline() = default;
  Timeline(const Timeline&) = delete;
  ~Timeline();
  bool mark();  // where the stream stands; false, and no mark, while work is captured and not run
  // Milliseconds from each mark to the next, as far as the device has come. Only the last of these is kept.
  std::vector<double> read();

 private:
  std::vector<void*> events_;
  size_t used_ = 0;
};

// Names what is enqueued while it lives, in a profiler's timeline.
class Range {
 public:
  explicit Range(const char* name);
  ~Range();
  Range(const Range&) = delete;
};

// A recorded sequence of work with fixed arguments: begin(), the work on the compute stream, end(), then launch().
// Memory that is given back between begin() and end() is kept for the graph, which goes on using it.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  ~Graph();
  void begin();
  void end();
  void abandon() noexcept;  // instead of end(): nothing is recorded
  void launch();
  explicit operator bool() const { return executable_ != nullptr; }

  // Drops the recording and the memory kept for it.
  void reset();

 private:
  void* executable_ = nullptr;
  std::vector<void*> kept_;
};

}  // namespace gestalt::kernels::cuda
