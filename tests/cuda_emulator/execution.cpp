// Blocks of fibers: the scheduler, the barrier, the warp meeting, and the report of who waits for whom.
#include "tests/cuda_emulator/execution.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "tests/cuda_emulator/memory.h"
#include "tests/cuda_emulator/shared.h"

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

namespace emulator {
namespace {

namespace context = boost::context;

constexpr int most_threads = 1024;
constexpr size_t stack_bytes = 256 << 10;

// A stack that runs one thread after another; a thread that waits keeps its fiber.
struct Fiber {
  context::fiber continuation;
  int thread = -1;
};

enum class State { fresh, ready, at_barrier, at_meeting, returned };

struct Thread {
  State state = State::fresh;
  Fiber* fiber = nullptr;
  // Where it waits.
  const char* what = "";
  Site site{};
  uint32_t mask = 0;
  void* payload = nullptr;
  int predicate = 0;
  PendingCopies copies;
};

uint64_t mix(uint64_t& state) {  // splitmix64
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

Order order_from_environment() {
  const char* text = std::getenv("GESTALT_EMULATOR_ORDER");
  const std::string_view value = text ? text : "forward";
  if (value == "reverse") return Order::reverse;
  return value == "random" ? Order::random : Order::forward;
}

struct Device {
  Order order = order_from_environment();
  uint64_t random = 1;
  const Launch* launch = nullptr;
  int count = 0;  // threads of a block
  int current = -1;
  int returned = 0, at_barrier = 0, arrived_true = 0, barrier_result = 0;
  std::array<Thread, most_threads> threads;
  std::array<uint64_t, most_threads / 64> ready;  // one bit a thread that can run
  std::array<int, most_threads / 32> awaited{};   // of each warp, a lane that its last meeting found missing
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  context::fiber scheduler;
  Counters counters;
};

// Never destroyed: its fibers must not be unwound at exit.
Device& device() {
  static Device* d = new Device;
  return *d;
}

uint3 position(unsigned index, const dim3& extent) {
  return {index % extent.x, index / extent.x % extent.y, index / extent.x / extent.y};
}
// Names of meetings and barriers are literals, mostly the same one.
bool same_name(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

std::string text(uint3 p) { return fmt::format("({}, {}, {})", p.x, p.y, p.z); }
std::string text(const Site& s) { return fmt::format("{}:{}", s.file, s.line); }

void mark_ready(int thread) { device().ready[thread / 64] |= uint64_t{1} << (thread % 64); }

// The next thread to run under the order in force, or -1.
int pick() {
  Device& d = device();
  const int words = (d.count + 63) / 64;
  if (d.order == Order::forward) {
    for (int w = 0; w < words; ++w)
      if (d.ready[w]) return w * 64 + std::countr_zero(d.ready[w]);
  } else if (d.order == Order::reverse) {
    for (int w = words - 1; w >= 0; --w)
      if (d.ready[w]) return w * 64 + 63 - std::countl_zero(d.ready[w]);
  } else {
    const int start = static_cast<int>(mix(d.random) % d.count);
    for (int i = 0; i <= words; ++i) {
      const int w = (start / 64 + i) % words;
      const uint64_t bits = i == 0 ? d.ready[w] & (~uint64_t{0} << (start % 64)) : d.ready[w];
      if (bits) return w * 64 + std::countr_zero(bits);
    }
  }
  return -1;
}

void claim(int thread) {
  Device& d = device();
  d.ready[thread / 64] &= ~(uint64_t{1} << (thread % 64));
  d.current = thread;
  threadIdx = position(thread, d.launch->block);
}

void run_current() {
  Device& d = device();
  const int self = d.current;
  d.launch->body();
  Thread& t = d.threads[self];
  if (t.copies.unfinished()) fault("the thread returned with asynchronous copies that it never waited for");
  t.copies = {};
  t.state = State::returned;
  ++d.returned;
}

Fiber* make_fiber() {
  Device& d = device();
  d.fibers.push_back(std::make_unique<Fiber>());
  Fiber* self = d.fibers.back().get();
  self->continuation = context::fiber(
      std::allocator_arg, context::protected_fixedsize_stack(stack_bytes), [self](context::fiber&& scheduler) {
        Device& d = device();
        d.scheduler = std::move(scheduler);
        while (true) {
          run_current();
          // A thread that has not begun can use this stack at once.
          if (const int next = pick(); next >= 0 && d.threads[next].state == State::fresh) {
            claim(next);
            d.threads[next].state = State::ready;
            d.threads[next].fiber = self;
            continue;
          }
          d.idle.push_back(self);
          d.scheduler = std::move(d.scheduler).resume();
        }
        return std::move(d.scheduler);
      });
  return self;
}

std::string describe(int index) {
  Device& d = device();
  const Thread& t = d.threads[index];
  const std::string who = fmt::format("thread {}", text(position(index, d.launch->block)));
  if (t.state == State::returned) return who + " has returned";
  if (t.state == State::at_barrier) return fmt::format("{} waits in {} at {}", who, t.what, text(t.site));
  return fmt::format("{} waits in {} with mask {:#010x} at {}", who, t.what, t.mask, text(t.site));
}

// No thread can go on: says which meeting lacks whom.
[[noreturn]] void report_stuck() {
  Device& d = device();
  for (int i = 0; i < d.count; ++i) {
    const Thread& t = d.threads[i];
    if (t.state != State::at_meeting) continue;
    d.current = i;
    threadIdx = position(i, d.launch->block);
    for (int lane = 0; lane < 32; ++lane) {
      if (!(t.mask >> lane & 1)) continue;
      const int other = i / 32 * 32 + lane;
      const Thread& o = d.threads[other];
      if (o.state == State::at_meeting && o.mask == t.mask && same_name(o.what, t.what)) continue;
      fault(fmt::format("{} at {}: mask {:#010x} names lane {}, but {}", t.what, text(t.site), t.mask, lane,
                        describe(other)));
    }
  }
  int waiting = 0;
  while (waiting < d.count && d.threads[waiting].state != State::at_barrier) ++waiting;
  int missing = 0;
  while (missing < d.count && d.threads[missing].state == State::at_barrier) ++missing;
  d.current = waiting;
  threadIdx = position(waiting, d.launch->block);
  const Thread& t = d.threads[waiting];
  fault(fmt::format("divergent barrier: {} at {} was reached by {} of {} threads, but {}", t.what, text(t.site),
                    d.at_barrier, d.count, describe(missing)));
}

void wait(State state) {
  Device& d = device();
  const int self = d.current;
  d.threads[self].state = state;
  ++d.counters.switches;
  d.scheduler = std::move(d.scheduler).resume();
}

void run_block() {
  Device& d = device();
  d.returned = d.at_barrier = d.arrived_true = 0;
  d.ready.fill(0);
  for (int i = 0; i < d.count; ++i) {
    d.threads[i].state = State::fresh;
    mark_ready(i);
  }
  begin_block(d.launch->dynamic_shared, d.launch->most_shared);
  while (d.returned < d.count) {
    const int next = pick();
    if (next < 0) report_stuck();
    claim(next);
    Thread& t = d.threads[next];
    if (t.state == State::fresh) {
      if (d.idle.empty()) d.idle.push_back(make_fiber());
      t.fiber = d.idle.back();
      d.idle.pop_back();
    }
    t.state = State::ready;
    Fiber* fiber = t.fiber;
    fiber->continuation = std::move(fiber->continuation).resume();
  }
  end_block();
  ++d.counters.blocks;
}

// The block that comes i-th under the order in force: random order walks the grid with a stride coprime to its size.
uint64_t block_at(uint64_t i, uint64_t count, uint64_t stride) {
  if (device().order == Order::forward) return i;
  return device().order == Order::reverse ? count - 1 - i : i * stride % count;
}

uint64_t coprime_stride(uint64_t count) {
  uint64_t stride = count > 2 ? mix(device().random) % count | 1 : 1;
  auto gcd = [](uint64_t a, uint64_t b) {
    while (b) a = std::exchange(b, a % b);
    return a;
  };
  while (gcd(stride, count) != 1) stride += 2;
  return stride;
}

}  // namespace

void execute(const Launch& launch) {
  Device& d = device();
  d.launch = &launch;
  d.count = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  blockDim = launch.block;
  gridDim = launch.grid;
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const uint64_t stride = coprime_stride(blocks);
  for (uint64_t i = 0; i < blocks; ++i) {
    blockIdx = position(static_cast<unsigned>(block_at(i, blocks, stride)), launch.grid);
    run_block();
  }
  d.current = -1;
  check_all_fences();
  ++d.counters.launches;
  d.launch = nullptr;
}

bool in_kernel() { return device().launch != nullptr; }

std::string whereabouts() {
  if (!in_kernel()) return "host";
  if (device().current < 0) return fmt::format("kernel {}", device().launch->name);  // after its last block
  return fmt::format("kernel {}, block {}, thread {}", device().launch->name, text(blockIdx), text(threadIdx));
}

int block_barrier(const char* what, Site site, int predicate) {
  Device& d = device();
  if (!in_kernel()) fault(fmt::format("{} at {} outside of a kernel", what, text(site)));
  Thread& t = d.threads[d.current];
  t.what = what;
  t.site = site;
  d.arrived_true += predicate != 0;
  if (++d.at_barrier < d.count) {
    wait(State::at_barrier);
    return d.barrier_result;
  }
  for (int i = 0; i < d.count; ++i) {
    Thread& other = d.threads[i];
    if (!(other.site == site) || !same_name(other.what, what))
      fault(fmt::format("divergent barrier: {} at {}, but {}", what, text(site), describe(i)));
    if (i == d.current) continue;
    other.state = State::ready;
    mark_ready(i);
  }
  d.barrier_result = d.arrived_true;
  d.at_barrier = d.arrived_true = 0;
  // Without this the last to arrive would always go first, whatever the order.
  mark_ready(d.current);
  const int result = d.barrier_result;
  wait(State::ready);
  return result;
}

int lane() { return device().current % 32; }

bool coin() { return mix(device().random) & 1; }

void warp_meeting(const char* what, Site site, uint32_t mask, void* payload, Complete complete) {
  Device& d = device();
  if (!in_kernel()) fault(fmt::format("{} at {} outside of a kernel", what, text(site)));
  const int self = d.current, first = self / 32 * 32;
  const int lanes = std::min(32, d.count - first);
  if (!(mask >> (self - first) & 1))
    fault(
        fmt::format("{} at {}: mask {:#010x} does not name the calling lane {}", what, text(site), mask, self - first));
  if (lanes < 32 && mask >> lanes)
    fault(fmt::format("{} at {}: mask {:#010x} names lanes that do not exist, the warp has {}", what, text(site), mask,
                      lanes));
  Thread& t = d.threads[self];
  t.what = what;
  t.site = site;
  t.mask = mask;
  t.payload = payload;
  const auto is_here = [&](int other) {
    const Thread& o = d.threads[other];
    return other == self || (o.state == State::at_meeting && o.mask == mask && same_name(o.what, what));
  };
  // Whoever was missing when the last lane came is most likely missing still: asking for it first spares all lanes but
  // the last from asking for everyone.
  int& awaited = d.awaited[first / 32];
  if (mask >> awaited & 1 && !is_here(first + awaited)) return wait(State::at_meeting);
  std::array<void*, 32> payloads{};
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int other = first + std::countr_zero(rest);
    const Thread& o = d.threads[other];
    if (!is_here(other)) {
      awaited = other - first;
      return wait(State::at_meeting);
    }
    if (!(o.site == site))
      fault(fmt::format("{} at {}: mask {:#010x}, but {}", what, text(site), mask, describe(other)));
    payloads[other - first] = o.payload;
  }
  complete(payloads.data(), mask);
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int other = first + std::countr_zero(rest);
    d.threads[other].state = State::ready;
    mark_ready(other);
  }
  wait(State::ready);
}

PendingCopies& pending_copies() { return device().threads[device().current].copies; }

void set_order(Order order, uint64_t seed) {
  device().order = order;
  device().random = seed;
}
Order order() { return device().order; }

Counters counters() {
  Counters c = device().counters;
  add_memory_counters(c);
  return c;
}

void fault(const std::string& message) {
  fmt::print(stderr, "[emulator] {}: {}\n", whereabouts(), message);
  std::fflush(stderr);
  std::abort();
}

}  // namespace emulator
