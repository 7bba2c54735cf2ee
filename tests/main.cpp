// The test program. Every allocation is fenced and starts as NaN, so unwritten and out-of-bounds results show.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "engine/tensor/allocator.h"

int main(int argc, char** argv) {
  gestalt::set_allocator_debug(true);
  doctest::Context context(argc, argv);
  return context.run();
}
