// Misaligned accesses, which x86 forgives and a device does not: kernels are compiled with -fsanitize=alignment, and
// what the compiler then calls is here instead of in its library.
#include <fmt/format.h>

#include "tests/cuda_emulator/execution.h"

namespace {

// As gcc and clang lay them out.
struct Place {
  const char* file;
  uint32_t line, column;
};
struct TypeName {
  uint16_t kind, info;
  char text[1];
};
struct Mismatch {
  Place place;
  const TypeName& type;
  unsigned char log_alignment, access;
};

[[noreturn]] void report(const Mismatch& m, uintptr_t address) {
  if (address == 0) emulator::fault(fmt::format("null is used at {}:{}", m.place.file, m.place.line));
  emulator::fault(fmt::format("a misaligned address, {:#x} of {}, which takes multiples of {}, at {}:{}", address,
                              m.type.text, 1u << m.log_alignment, m.place.file, m.place.line));
}

}  // namespace

extern "C" {
[[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(Mismatch* m, uintptr_t address) { report(*m, address); }
[[noreturn]] void __ubsan_handle_type_mismatch_v1(Mismatch* m, uintptr_t address) { report(*m, address); }
}
