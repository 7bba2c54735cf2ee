// What the tests of the emulated device share: arrays on it, a way to start kernels, and how it reports faults.
#pragma once

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/launch.cuh"

namespace gestalt::kernels::cuda {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count), data_(static_cast<T*>(device_allocate(count * sizeof(T)))) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    copy(data_, Device::cuda, values.data(), Device::cpu, count_ * sizeof(T), compute_stream());
  }
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() { device_release(data_); }
  T* get() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(count_);
    copy(values.data(), Device::cpu, data_, Device::cuda, count_ * sizeof(T), compute_stream());
    return values;
  }

 private:
  size_t count_;
  T* data_;
};

inline std::vector<float> ramp(int count) {
  std::vector<float> x(count);
  for (int i = 0; i < count; ++i) x[i] = static_cast<float>(i);
  return x;
}

// Starts a kernel under the name "planted".
template <class... Parameters, class... Arguments>
void start(void (*kernel)(Parameters...), int blocks, int threads, int shared, Arguments... arguments) {
  const Range range("planted");
  launch_kernel(kernel, blocks, threads, shared, compute_stream(), arguments...);
}

// What `f` writes to stderr before it ends, run in a process of its own.
inline std::string fault_of(const std::function<void()>& f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    try {
      f();
      synchronize();
    } catch (const std::exception& e) { (void)!write(ends[1], e.what(), std::strlen(e.what())); }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return text;
}

// Checks that running `f` ends with a message that holds all the words.
inline void check_fault(const std::function<void()>& f, std::initializer_list<const char*> words) {
  const std::string text = fault_of(f);
  for (const std::string word : words)
    CHECK_MESSAGE(text.find(word) != std::string::npos, "'", word, "' is not in: ", text);
}

}  // namespace gestalt::kernels::cuda
