// Which of its builds of the CPU's kernels the program runs: there is one for each level of instruction sets, unless
// it was built for one processor alone (GESTALT_NATIVE).
#pragma once

#include <cstdint>
#include <string>

#ifndef GESTALT_CPU_LEVELS
#define GESTALT_CPU_LEVELS 0
#endif

// GESTALT_ON_CPU_DECLARE(declaration) declares a function of the CPU's kernels; GESTALT_ON_CPU(call) calls it in the
// build of them for level(). tools/cmake/cpu_level.sh puts that of level L into the namespace cpu_L.
#if GESTALT_CPU_LEVELS
#define GESTALT_ON_CPU_DECLARE(declaration) \
  namespace cpu {                           \
  declaration;                              \
  }                                         \
  namespace cpu_v3 {                        \
  declaration;                              \
  }                                         \
  namespace cpu_v4 {                        \
  declaration;                              \
  }                                         \
  namespace cpu_v4_bf16 {                   \
  declaration;                              \
  }
#define GESTALT_ON_CPU(call)                               \
  (cpu::level() == cpu::Level::v4_bf16 ? cpu_v4_bf16::call \
   : cpu::level() == cpu::Level::v4    ? cpu_v4::call      \
   : cpu::level() == cpu::Level::v3    ? cpu_v3::call      \
                                       : cpu::call)
#else
#define GESTALT_ON_CPU_DECLARE(declaration) \
  namespace cpu {                           \
  declaration;                              \
  }
#define GESTALT_ON_CPU(call) cpu::call
#endif

namespace gestalt::kernels::cpu {

constexpr bool built_with_levels = GESTALT_CPU_LEVELS;

// Levels of x86-64, each with the instructions of the one before it; the last has those for bf16 besides. All code but
// the CPU's kernels is compiled for the first.
enum class Level : uint8_t { v2, v3, v4, v4_bf16 };
constexpr Level levels[] = {Level::v2, Level::v3, Level::v4, Level::v4_bf16};

const char* name(Level);

// The highest that the processor has.
Level highest_level();

// The level of that name. Throws Error where there is none, or the processor or this build lacks it.
Level find_level(const std::string& name);

// The one whose kernels run: the highest, or what find_level() makes of the variable GESTALT_ISA, which is read once.
Level level();

}  // namespace gestalt::kernels::cpu
