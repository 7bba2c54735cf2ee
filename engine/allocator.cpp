// Best fit over large segments: blocks are split on allocation and joined with free neighbours on release.
#include "engine/allocator.h"

#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "engine/device_memory.h"

namespace gestalt {
namespace {

constexpr size_t alignment = 64;
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

class Pool {
 public:
  explicit Pool(Device device) : device_(device) {}

  void* allocate(size_t asked) {
    std::lock_guard lock(mutex_);
    if (debug_ && device_ == Device::cuda) return allocate_apart(asked);
    const bool debug = debug_;
    const size_t bytes = round_up(std::max<size_t>(asked, 1) + (debug ? 2 * fence_bytes : 0), alignment);
    Block key{nullptr, bytes, true};
    auto found = free_.lower_bound(&key);
    Block* block = found != free_.end() ? *found : new_segment(bytes);
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

  void release(void* memory) noexcept {
    std::lock_guard lock(mutex_);
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
  }

  void release_cached() {
    std::lock_guard lock(mutex_);
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

  AllocatorStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.in_use;
  }
  void set_debug(bool on) { debug_ = on; }

  void check_sentinels() {
    std::lock_guard lock(mutex_);
    for (const auto& [memory, asked] : fenced_)
      check(intact(memory, asked, live_.at(memory)), "[allocator] a write outside a block of {} bytes", asked);
  }

 private:
  // Debugging: one allocation of the system for each block.
  void* allocate_apart(size_t asked) {
    void* memory = system_allocate(std::max<size_t>(asked, 1), device_);
    check(memory != nullptr, "[allocator] {} has no memory for {} bytes", name(device_), asked);
    apart_[memory] = asked;
    ++stats_.system_calls;
    stats_.reserved = stats_.in_use += asked;
    stats_.peak = std::max(stats_.peak, stats_.in_use);
    return memory;
  }

  void release_apart(void* memory) noexcept {
    const auto found = apart_.find(memory);
    if (found == apart_.end()) return;
    system_release(memory, found->second, device_);
    stats_.reserved = stats_.in_use -= found->second;
    apart_.erase(found);
  }

  Block* new_segment(size_t bytes) {
    const size_t wanted = round_up(std::max(bytes, segment_bytes), size_t{2} << 20);
    void* memory = system_allocate(wanted, device_);
    check(memory != nullptr,
          "[allocator] {} has no memory for {:.1f} MiB more ({:.1f} MiB in use, {:.1f} MiB held); use a smaller "
          "--batch or --dtype bf16",
          name(device_), wanted / 1048576.0, stats_.in_use / 1048576.0, stats_.reserved / 1048576.0);
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
  bool debug_ = false;
  std::mutex mutex_;
  std::set<Block*, BySize> free_;
  std::unordered_map<void*, Block*> live_;
  std::map<void*, Block*> segments_;  // the first block of each
  std::unordered_map<void*, size_t> fenced_, apart_;
  AllocatorStats stats_;
};

// Never destroyed: tensors with static storage may outlive it otherwise.
Pool& pool(Device device) {
  static Pool* pools[] = {new Pool(Device::cpu), new Pool(Device::cuda)};
  return *pools[static_cast<int>(device)];
}

}  // namespace

void* allocate(size_t bytes, Device device) { return pool(device).allocate(bytes); }
void release(void* memory, Device device) noexcept { pool(device).release(memory); }
AllocatorStats allocator_stats(Device device) { return pool(device).stats(); }
void reset_peak(Device device) { pool(device).reset_peak(); }
void release_cached(Device device) { pool(device).release_cached(); }
void set_allocator_debug(bool on) {
  pool(Device::cpu).set_debug(on);
  pool(Device::cuda).set_debug(on);
}
void check_sentinels() { pool(Device::cpu).check_sentinels(); }

}  // namespace gestalt
