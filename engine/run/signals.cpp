// SIGINT and SIGTERM: the handler does no more than a signal handler may.
#include "engine/run/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr int signals[] = {SIGINT, SIGTERM};
std::atomic<int> received{0};
std::atomic<bool> installed{false};
struct sigaction former[2];
static_assert(std::atomic<int>::is_always_lock_free);

void handle(int signal) {
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) _exit(128 + signal);
  constexpr char text[] = "\nstopping after this step; a second signal exits at once\n";
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text, sizeof text - 1);
}

}  // namespace

StopSignal::StopSignal() {
  check(!installed.exchange(true), "[signals] another StopSignal is alive");
  received = 0;
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 2; ++i) sigaction(signals[i], &action, &former[i]);
}

StopSignal::~StopSignal() {
  for (int i = 0; i < 2; ++i) sigaction(signals[i], &former[i], nullptr);
  installed = false;
}

bool StopSignal::requested() const { return received != 0; }
int StopSignal::signal() const { return received; }

}  // namespace gestalt
