// Choosing the level: what the processor has, and what GESTALT_ISA says.
#include "kernels/cpu/level.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>

#include "kernels/check.h"

namespace gestalt::kernels::cpu {

#if defined(__x86_64__)
namespace {

// Of v3, what clang 14 does not know in __builtin_cpu_supports.
bool has_movbe_f16c_lzcnt() {
  unsigned a, b, c, d, more;
  return __get_cpuid(1, &a, &b, &c, &d) && c & bit_MOVBE && c & bit_F16C &&
         __get_cpuid(0x80000001, &a, &b, &more, &d) && more & bit_LZCNT;
}

}  // namespace
#endif

const char* name(Level level) {
  constexpr const char* names[] = {"v2", "v3", "v4", "v4_bf16"};
  return names[static_cast<int>(level)];
}

Level highest_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();  // these also ask whether the system keeps the registers
#define GESTALT_HAS(set) static_cast<bool>(__builtin_cpu_supports(set))
  const bool v3 =
      GESTALT_HAS("avx2") && GESTALT_HAS("fma") && GESTALT_HAS("bmi") && GESTALT_HAS("bmi2") && has_movbe_f16c_lzcnt();
  const bool v4 = v3 && GESTALT_HAS("avx512f") && GESTALT_HAS("avx512bw") && GESTALT_HAS("avx512cd") &&
                  GESTALT_HAS("avx512dq") && GESTALT_HAS("avx512vl");
  return !v3 ? Level::v2 : !v4 ? Level::v3 : GESTALT_HAS("avx512bf16") ? Level::v4_bf16 : Level::v4;
#undef GESTALT_HAS
#else
  return Level::v2;
#endif
}

Level find_level(const std::string& asked) {
  check(built_with_levels,
        "[isa] got GESTALT_ISA={}, but this build has its kernels for one processor; unset it, or configure for x86-64 "
        "with -DGESTALT_NATIVE=OFF",
        asked);
  for (const Level level : levels) {
    if (asked != name(level)) continue;
    check(level <= highest_level(),
          "[isa] got GESTALT_ISA={}, expected up to {}, which is what this processor has; unset "
          "it for that",
          asked, name(highest_level()));
    return level;
  }
  fail("[isa] got GESTALT_ISA={}, expected v2, v3, v4 or v4_bf16; unset it for the highest that the processor has",
       asked);
}

Level level() {
  static const Level level = [] {
    const char* asked = std::getenv("GESTALT_ISA");
    return asked && *asked ? find_level(asked) : highest_level();
  }();
  return level;
}

}  // namespace gestalt::kernels::cpu
