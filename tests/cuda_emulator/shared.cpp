// Shared variables of the running block.
#include "tests/cuda_emulator/shared.h"

#include <fmt/format.h>

#include <map>
#include <vector>

#include "tests/cuda_emulator/execution.h"

namespace emulator {
namespace {

constexpr size_t most_static_bytes = 48 << 10;

struct Block {
  uint64_t serial = 0;
  std::vector<SharedSlot*> used;
  size_t static_bytes = 0, dynamic_bytes = 0, most_bytes = 0;
  std::map<size_t, GuardedRegion> dynamic_by_size;
  const GuardedRegion* dynamic = nullptr;
};

Block& block() {
  static Block* b = new Block;
  return *b;
}

const std::string dynamic_name = "the dynamic shared memory";

}  // namespace

SharedSlot::SharedSlot(size_t bytes, const char* name, Site site)
    : name_(fmt::format("the shared variable {} ({}:{})", name, site.file, site.line)) {
  region_ = map_guarded(bytes, name_, false);
}

void* SharedSlot::use() {
  Block& b = block();
  if (!in_kernel()) fault(name_ + " used outside of a kernel");
  if (block_ != b.serial) {
    block_ = b.serial;
    poison(region_);
    b.used.push_back(this);
    b.static_bytes += region_.bytes;
    if (b.static_bytes > most_static_bytes)
      fault(fmt::format("{} makes {} bytes of static shared memory, {} are allowed", name_, b.static_bytes,
                        most_static_bytes));
    if (b.static_bytes + b.dynamic_bytes > b.most_bytes)
      fault(fmt::format("{} makes {} bytes of shared memory, {} of them dynamic; the launch may have {}", name_,
                        b.static_bytes + b.dynamic_bytes, b.dynamic_bytes, b.most_bytes));
  }
  return region_.begin;
}

void begin_block(size_t dynamic_bytes, size_t most_bytes) {
  Block& b = block();
  ++b.serial;
  b.used.clear();
  b.static_bytes = 0;
  b.dynamic_bytes = dynamic_bytes;
  b.most_bytes = most_bytes;
  b.dynamic = nullptr;
  if (dynamic_bytes == 0) return;
  auto found = b.dynamic_by_size.find(dynamic_bytes);
  if (found == b.dynamic_by_size.end())
    found = b.dynamic_by_size.emplace(dynamic_bytes, map_guarded(dynamic_bytes, dynamic_name, false)).first;
  b.dynamic = &found->second;
  poison(*b.dynamic);
}

void end_block() {
  Block& b = block();
  for (const SharedSlot* slot : b.used) check_fences(slot->region(), slot->name());
  if (b.dynamic) check_fences(*b.dynamic, dynamic_name);
}

void* dynamic_shared() {
  if (!block().dynamic) fault("dynamic shared memory is used, but the launch asked for none");
  return block().dynamic->begin;
}

}  // namespace emulator
