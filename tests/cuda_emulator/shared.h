// Shared memory: each variable lies at a guard page of its own and is poisoned at its first use in a block.
#pragma once

#include <type_traits>

#include "tests/cuda_emulator/memory.h"

namespace emulator {

void begin_block(size_t dynamic_bytes, size_t most_bytes);  // of static and dynamic memory together
void end_block();                                           // checks the fences of what the block used
void* dynamic_shared();

// The storage behind one GESTALT_SHARED declaration.
class SharedSlot {
 public:
  SharedSlot(size_t bytes, const char* name, Site);
  void* use();  // in the running block
  const GuardedRegion& region() const { return region_; }
  const std::string& name() const { return name_; }

 private:
  GuardedRegion region_;
  std::string name_;
  uint64_t block_ = 0;
};

}  // namespace emulator

// GESTALT_SHARED(float, tile, [32][33]); declares `__shared__ float tile[32][33];`
#define GESTALT_SHARED(Type, name, ...)                                                                             \
  static_assert(std::is_trivially_destructible_v<Type>);                                                            \
  static ::emulator::SharedSlot name##_slot(sizeof(Type __VA_ARGS__), #name, ::emulator::Site{__FILE__, __LINE__}); \
  Type(&name) __VA_ARGS__ = *static_cast<std::add_pointer_t<Type __VA_ARGS__>>(name##_slot.use())
// GESTALT_DYNAMIC_SHARED(float, tile); declares `float* tile` over the launch's dynamic shared memory.
#define GESTALT_DYNAMIC_SHARED(Type, name) Type* name = static_cast<Type*>(::emulator::dynamic_shared())
