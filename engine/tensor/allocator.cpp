// Best fit over large segments: blocks are split on allocation and joined with free neighbours on release.
#include "engine/tensor/allocator.h"

#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "engine/tensor/device_memory.h"
#include "kernels/launch.h"

namespace gestalt {
namespace {

constexpr size_t alignment = 256;                   // cuBLASLt chooses by alignment up to this
constexpr size_t segment_bytes = size_t{32} << 20;  // the least that is asked of the system at once
constexpr size_t fence_bytes = 64;                  // debug sentinels on each side of a block
constexpr uint8_t fence_byte = 0xA5;

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// A piece of a segment. Pieces of one segment form a list in address order.
struct Block {
  uint8_t* memory;
  size_t bytes;
  bool free;
  Block* before = nullptr;
  Block* after = nullptr;
};

struct BySize {
  bool operator()(const Block* a, const Block* b) const {
    return a->bytes != b->bytes ? a->bytes < b->bytes : a->memory < b->memory;
  }
};

// Whoever calls holds the lock of the device's memory, whose counts `stats` are.
class Pool {
 public:
  Pool(Device device, AllocatorStats& stats) : device_(device), stats_(stats) {}

  void* allocate(size_t asked, bool debug) {  // null when there is no more
    if (debug && device_ == Device::cuda) return allocate_apart(asked);
    const size_t bytes = round_up(std::max<size_t>(asked, 1) + (debug ? 2 * fence_bytes : 0), alignment);
    Block key{nullptr, bytes, true};
    auto found = free_.lower_bound(&key);
    Block* block = found != free_.end() ? *found : new_segment(bytes);
    if (!block) return nullptr;
    free_.erase(block);
    if (block->bytes > bytes) split(block, bytes);
    block->free = false;
    stats_.in_use += block->bytes;
    stats_.peak = std::max(stats_.peak, stats_.in_use);
    uint8_t* memory = block->memory;
    if (debug) {
      std::memset(memory, fence_byte, fence_bytes);
      memory += fence_bytes;
      std::memset(memory, 0xFF, asked);  // NaN in every floating dtype
      std::memset(memory + asked, fence_byte, bytes - fence_bytes - asked);
      fenced_[memory] = asked;
    }
    live_[memory] = block;
    return memory;
  }

  bool release(void* memory) noexcept {  // false if it is not from here
    auto found = live_.find(memory);
    if (found == live_.end()) return release_apart(memory);
    Block* block = found->second;
    live_.erase(found);
    if (auto fence = fenced_.find(memory); fence != fenced_.end()) {
      if (!intact(fence->first, fence->second, block)) {
        fmt::print(stderr, "[allocator] a write outside a block of {} bytes damaged its sentinels\n", fence->second);
        std::abort();
      }
      fenced_.erase(fence);
    }
    stats_.in_use -= block->bytes;
    block->free = true;
    if (block->after && block->after->free) join(block, block->after);
    if (block->before && block->before->free) {
      block = block->before;
      join(block, block->after);
    }
    free_.insert(block);
    return true;
  }

  void release_cached() {
    for (auto it = segments_.begin(); it != segments_.end();) {
      Block* block = it->second;
      if (!block->free || block->after) {
        ++it;
        continue;
      }
      free_.erase(block);
      system_release(block->memory, block->bytes, device_);
      stats_.reserved -= block->bytes;
      delete block;
      it = segments_.erase(it);
    }
  }

  // Takes over all that `other` holds.
  void adopt(Pool& other) {
    free_.merge(other.free_);
    live_.merge(other.live_);
    segments_.merge(other.segments_);
    fenced_.merge(other.fenced_);
    apart_.merge(other.apart_);
  }

  void check_sentinels() {
    for (const auto& [memory, asked] : fenced_)
      check(intact(memory, asked, live_.at(memory)), "[allocator] a write outside a block of {} bytes", asked);
  }

 private:
  // Debugging: one allocation of the system for each block.
  void* allocate_apart(size_t asked) {
    void* memory = system_allocate(std::max<size_t>(asked, 1), device_);
    if (!memory) return nullptr;
    apart_[memory] = asked;
    ++stats_.system_calls;
    stats_.reserved = stats_.in_use += asked;
    stats_.peak = std::max(stats_.peak, stats_.in_use);
    return memory;
  }

  bool release_apart(void* memory) noexcept {
    const auto found = apart_.find(memory);
    if (found == apart_.end()) return false;
    system_release(memory, found->second, device_);
    stats_.reserved = stats_.in_use -= found->second;
    apart_.erase(found);
    return true;
  }

  Block* new_segment(size_t bytes) {
    size_t wanted = round_up(std::max(bytes, segment_bytes), size_t{2} << 20);
    void* memory = system_allocate(wanted, device_);
    if (!memory) {  // give back what lies idle, and ask for no more than is needed
      release_cached();
      memory = system_allocate(wanted = round_up(bytes, alignment), device_);
    }
    if (!memory) return nullptr;
    ++stats_.system_calls;
    stats_.reserved += wanted;
    auto* block = new Block{static_cast<uint8_t*>(memory), wanted, true};
    segments_[memory] = block;
    free_.insert(block);
    return block;
  }

  void split(Block* block, size_t bytes) {
    auto* rest = new Block{block->memory + bytes, block->bytes - bytes, true, block, block->after};
    if (rest->after) rest->after->before = rest;
    block->after = rest;
    block->bytes = bytes;
    free_.insert(rest);
  }

  // Appends `right` to `left`, its neighbour. Neither may be in the free set but `right` or `left` themselves.
  void join(Block* left, Block* right) noexcept {
    free_.erase(left);
    free_.erase(right);
    left->bytes += right->bytes;
    left->after = right->after;
    if (left->after) left->after->before = left;
    delete right;
  }

  static bool intact(const void* memory, size_t asked, const Block* block) {
    const auto* begin = static_cast<const uint8_t*>(memory);
    for (const uint8_t* p = block->memory; p < begin; ++p)
      if (*p != fence_byte) return false;
    for (const uint8_t* p = begin + asked; p < block->memory + round_up(asked + 2 * fence_bytes, alignment); ++p)
      if (*p != fence_byte) return false;
    return true;
  }

  Device device_;
  AllocatorStats& stats_;
  std::set<Block*, BySize> free_;
  std::unordered_map<void*, Block*> live_;
  std::map<void*, Block*> segments_;  // the first block of each
  std::unordered_map<void*, size_t> fenced_, apart_;
};

// All of a device's memory: the common pool, and those that captured graphs own.
struct Memory {
  explicit Memory(Device device) : common(device, stats) {}
  std::mutex mutex;
  AllocatorStats stats;
  bool debug = false;
  Pool common;
  std::vector<Pool*> owned;
  Pool* in_use = &common;  // where allocations come from
};

// Never destroyed: tensors with static storage may outlive it otherwise.
Memory& memory_of(Device device) {
  static Memory* all[] = {new Memory(Device::cpu), new Memory(Device::cuda)};
  return *all[static_cast<int>(device)];
}

}  // namespace

void* try_allocate(size_t bytes, Device device) {
  Memory& m = memory_of(device);
  std::lock_guard lock(m.mutex);
  void* memory = m.in_use->allocate(bytes, m.debug);
  if (memory) return memory;
  m.common.release_cached();  // if it is not the one in use
  return m.in_use->allocate(bytes, m.debug);
}

namespace {

// Working memory of launches is tensors' memory.
[[maybe_unused]] const bool scratch_is_ours = [] {
  kernels::scratch_source = {[](int64_t bytes, Stream stream) {
                               void* memory = try_allocate(static_cast<size_t>(bytes), stream.device);
                               if (!memory)
                                 fail_out_of_memory("working memory", static_cast<size_t>(bytes), stream.device);
                               return memory;
                             },
                             [](void* memory, Stream stream) { release(memory, stream.device); }};
  return true;
}();

}  // namespace

void release(void* memory, Device device) noexcept {
  Memory& m = memory_of(device);
  std::lock_guard lock(m.mutex);
  if (m.common.release(memory)) return;
  for (Pool* pool : m.owned)
    if (pool->release(memory)) return;
}

void fail_out_of_memory(const std::string& what, size_t bytes, Device device) {
  const auto mebibytes = [](size_t n) { return static_cast<double>(n) / 1048576; };
  const AllocatorStats stats = allocator_stats(device);
  std::string place =
      fmt::format("{:.1f} MiB are in use, {:.1f} MiB held", mebibytes(stats.in_use), mebibytes(stats.reserved));
  if (device == Device::cuda) {
    const DeviceRoom room = device_room();
    place += fmt::format(", {:.1f} MiB of the device's {:.1f} MiB free; the last kernel was {}", mebibytes(room.free),
                         mebibytes(room.total), last_kernel());
  }
  fail(
      "[memory] {} has no room for {} of {:.1f} MiB: {}. Use a smaller --batch (with --accumulate for the same "
      "update), --dtype bf16, a smaller --size or a smaller model",
      name(device), what, mebibytes(bytes), place);
}

AllocatorStats allocator_stats(Device device) {
  Memory& m = memory_of(device);
  std::lock_guard lock(m.mutex);
  return m.stats;
}

void reset_peak(Device device) {
  Memory& m = memory_of(device);
  std::lock_guard lock(m.mutex);
  m.stats.peak = m.stats.in_use;
}

void release_cached(Device device) {
  Memory& m = memory_of(device);
  std::lock_guard lock(m.mutex);
  m.common.release_cached();
}

void set_allocator_debug(bool on) { memory_of(Device::cpu).debug = memory_of(Device::cuda).debug = on; }

void check_sentinels() {
  Memory& m = memory_of(Device::cpu);
  std::lock_guard lock(m.mutex);
  m.common.check_sentinels();
}

struct OwnPool::Impl {
  explicit Impl(Device device) : memory(memory_of(device)), pool(device, memory.stats) {}
  Memory& memory;
  Pool pool;
};

OwnPool::OwnPool(Device device) : impl_(std::make_unique<Impl>(device)) {
  std::lock_guard lock(impl_->memory.mutex);
  impl_->memory.owned.push_back(&impl_->pool);
}

OwnPool::~OwnPool() {
  Memory& m = impl_->memory;
  std::lock_guard lock(m.mutex);
  if (m.in_use == &impl_->pool) m.in_use = &m.common;
  std::erase(m.owned, &impl_->pool);
  m.common.adopt(impl_->pool);
}

OwnPool::Use::Use(OwnPool& own) : own_(own) {
  Memory& m = own.impl_->memory;
  std::lock_guard lock(m.mutex);
  check(m.in_use == &m.common, "[allocator] a pool of its own is in use already");
  m.in_use = &own.impl_->pool;
}

OwnPool::Use::~Use() {
  Memory& m = own_.impl_->memory;
  std::lock_guard lock(m.mutex);
  m.in_use = &m.common;
}

}  // namespace gestalt
