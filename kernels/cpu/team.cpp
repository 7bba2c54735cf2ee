// A team of threads that take numbered pieces of work, and the limits of control groups.
#include "kernels/cpu/team.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "kernels/check.h"

namespace gestalt::kernels::cpu {
namespace {

constexpr int most_threads = 1024;
constexpr int64_t most_pieces = 0xffff;

// How long a thread looks for work before it sleeps: about what waking it costs.
constexpr std::chrono::microseconds patience{20};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when value() is no longer `old`, or after some microseconds.
template <class T>
void look(const std::atomic<T>& value, T old) {
  const auto end = std::chrono::steady_clock::now() + patience;
  do {
    for (int i = 0; i < 16; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
}

// A share of a job's pieces: those that are left, and the job's number, in one word. A thread that was away while jobs
// came and went finds another number there and takes nothing.
class Share {
 public:
  void set(uint32_t job, int64_t begin, int64_t end) {
    word_.store(uint64_t{job} << 32 | static_cast<uint64_t>(begin) << 16 | static_cast<uint64_t>(end),
                std::memory_order_release);
  }

  // The next piece, or -1.
  int64_t take(uint32_t job) {
    uint64_t word = word_.load(std::memory_order_acquire);
    for (;;) {
      const auto next = static_cast<int64_t>(word >> 16 & 0xffff), end = static_cast<int64_t>(word & 0xffff);
      if (word >> 32 != job || next >= end) return -1;
      if (word_.compare_exchange_weak(word, word + 0x10000, std::memory_order_acq_rel)) return next;
    }
  }

 private:
  alignas(64) std::atomic<uint64_t> word_{0};
};

thread_local bool in_piece = false;

// One a process, and never destroyed: its threads sleep until the process ends.
class Team {
 public:
  int size() const { return size_.load(std::memory_order_relaxed); }

  void resize(int threads) {
    const std::lock_guard lock(busy_);
    threads = std::clamp(threads, 1, most_threads);
    try {
      for (; started_ < threads; ++started_) std::thread([this, index = started_] { serve(index); }).detach();
    } catch (const std::system_error&) { threads = started_; }  // the system's limit of threads
    size_.store(threads, std::memory_order_relaxed);
  }

  bool try_run(int64_t count, void (*run)(const void*, int64_t), const void* what) {
    const std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock) return false;
    run_ = run;
    what_ = what;
    left_.store(count, std::memory_order_relaxed);
    const uint32_t job = job_.load(std::memory_order_relaxed) + 1;
    const int64_t shares = std::min<int64_t>(size(), count);
    shares_in_use_.store(static_cast<int>(shares), std::memory_order_relaxed);
    for (int64_t i = 0; i < shares; ++i) shares_[i].set(job, count * i / shares, count * (i + 1) / shares);
    job_.store(job, std::memory_order_release);
    job_.notify_all();
    work(job, 0);
    for (int64_t left = left_.load(std::memory_order_acquire); left > 0; left = left_.load(std::memory_order_acquire)) {
      look(left_, left);
      left_.wait(left, std::memory_order_acquire);
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    return true;
  }

 private:
  [[noreturn]] void serve(int index) {
    for (uint32_t seen = 0;;) {
      look(job_, seen);
      job_.wait(seen, std::memory_order_acquire);
      seen = job_.load(std::memory_order_acquire);
      if (index < shares_in_use_.load(std::memory_order_relaxed)) work(seen, index);
    }
  }

  // Takes pieces until none are left, its own share's first.
  void work(uint32_t job, int index) {
    const int shares = shares_in_use_.load(std::memory_order_relaxed);
    for (int i = 0; i < shares; ++i) {
      Share& share = shares_[static_cast<size_t>((index + i) % shares)];
      for (int64_t piece; (piece = share.take(job)) >= 0;) do_piece(piece);
    }
  }

  void do_piece(int64_t piece) {
    in_piece = true;
    try {
      run_(what_, piece);
    } catch (...) {
      const std::lock_guard lock(failing_);
      if (!failure_) failure_ = std::current_exception();
    }
    in_piece = false;
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_all();
  }

  std::mutex busy_;  // held for the time of a job
  int started_ = 1;  // threads, the caller's among them
  std::atomic<int> size_{1};

  // Of the job. Written before its shares are, and read by those who hold a piece of it.
  void (*run_)(const void*, int64_t) = nullptr;
  const void* what_ = nullptr;
  std::atomic<int64_t> left_{0};
  std::atomic<int> shares_in_use_{0};
  std::array<Share, most_threads> shares_;
  std::mutex failing_;
  std::exception_ptr failure_;

  alignas(64) std::atomic<uint32_t> job_{0};  // the last one's number, which threads without work wait on
};

// A positive number that a variable begins with, or 0.
int variable(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::max(0, std::atoi(text)) : 0;
}

int size_at_first() {
  cpu_set_t cores;
  int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores)
                                                              : static_cast<int>(std::thread::hardware_concurrency());
  if (const int quota = quota_of_cores()) count = std::min(count, quota);
  if (const int set = variable("OMP_NUM_THREADS")) count = set;
  if (const int limit = variable("OMP_THREAD_LIMIT")) count = std::min(count, limit);
  return count;
}

Team& team() {
  static Team* const the_team = [] {
    auto* made = new Team;
    made->resize(size_at_first());
    return made;
  }();
  return *the_team;
}

// Cores that a group's files allow, 0: as many as there are.
double cores_of_group(const std::string& folder) {
  std::string quota;
  double period = 0;
  std::ifstream both(folder + "/cpu.max"), old_quota(folder + "/cpu.cfs_quota_us"),
      old_period(folder + "/cpu.cfs_period_us");
  if (!(both >> quota >> period) && !(old_quota >> quota && old_period >> period)) return 0;
  if (quota == "max" || quota.starts_with("-") || period <= 0) return 0;
  return std::atof(quota.c_str()) / period;
}

}  // namespace

int team_size() { return team().size(); }

void set_team_size(int threads) { team().resize(threads); }

void run_pieces(int64_t count, void (*run)(const void*, int64_t), const void* what) {
  check(count <= most_pieces, "[team] got {} pieces, expected up to {}", count, most_pieces);
  if (count > 1 && !in_piece && team().size() > 1 && team().try_run(count, run, what)) return;
  for (int64_t i = 0; i < count; ++i) run(what, i);
}

int quota_of_cores(const std::string& root) {
  double least = 0;
  std::ifstream groups(root + "/proc/self/cgroup");
  // Lines are "0::/path", or of the first version "4:cpu,cpuacct:/path". A limit of a group holds for those in it.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    const std::string mount = root + "/sys/fs/cgroup" + (controllers.empty() ? "" : "/cpu");
    for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
      const double cores = cores_of_group(mount + path);
      if (cores > 0) least = least > 0 ? std::min(least, cores) : cores;
      if (path.find('/') == std::string::npos) break;
    }
  }
  return static_cast<int>(std::ceil(least));
}

}  // namespace gestalt::kernels::cpu
