// Turns off the allocator's debugging, under which no memory is pooled on CUDA, for the length of a test.
#pragma once

#include "engine/tensor/allocator.h"

namespace gestalt::test {

struct PooledMemory {
  PooledMemory() { set_allocator_debug(false); }
  ~PooledMemory() { set_allocator_debug(true); }
  PooledMemory(const PooledMemory&) = delete;
};

}  // namespace gestalt::test
