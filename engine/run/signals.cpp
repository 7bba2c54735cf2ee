// Signals that end a run: the handler does no more than a signal handler may.
#include "engine/run/signals.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <iterator>

#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
std::atomic<int> received{0};
std::atomic<unsigned> patience{
    0};  // seconds from a SIGTERM to the end of a loop that does not ask; 0: it may take its time
std::atomic<bool> installed{false};
struct sigaction former[std::size(signals)];
static_assert(std::atomic<int>::is_always_lock_free);

template <size_t size>
void say(const char (&text)[size]) {
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text, size - 1);
}

void handle(int signal) {
  if (signal == SIGALRM) {
    say("\nthe step does not end; exiting without saving\n");
    _exit(128 + received);
  }
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) _exit(128 + signal);
  if (signal != SIGINT) alarm(patience);
  say("\nstopping after this step; a second signal exits at once\n");
}

int64_t seconds_now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

}  // namespace

StopSignal::StopSignal(int grace_seconds) : grace_seconds_(grace_seconds), asked_(seconds_now()) {
  check(!installed.exchange(true), "[signals] another StopSignal is alive");
  received = 0;
  patience = static_cast<unsigned>(grace_seconds);
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < std::size(signals); ++i) {
    sigaction(signals[i], &action, &former[i]);
    if (signals[i] == SIGHUP && former[i].sa_handler == SIG_IGN) sigaction(SIGHUP, &former[i], nullptr);  // nohup
  }
}

StopSignal::~StopSignal() {
  alarm(0);
  for (size_t i = 0; i < std::size(signals); ++i) sigaction(signals[i], &former[i], nullptr);
  installed = false;
}

bool StopSignal::requested() {
  const int64_t now = seconds_now();
  if (!long_) longest_ = std::max(longest_, now - asked_);
  asked_ = now;
  long_ = false;
  patience = static_cast<unsigned>(longest_ + grace_seconds_);
  if (received != 0) alarm(0);
  return received != 0;
}
void StopSignal::expect_long() {
  long_ = true;
  patience = 0;
  alarm(0);
}

int StopSignal::signal() const { return received; }

}  // namespace gestalt
