// Facts from the processor, the kernel and oneDNN.
#include "tools/machine.h"

#include <dnnl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/level.h"

namespace gestalt::tools {

std::string line_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "unknown";
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
}

std::string memory(const char* key) {
  const std::string kib = line_value("/proc/meminfo", key);
  return kib == "unknown" ? kib : fmt::format("{:.1f} GiB", std::stod(kib) / (1 << 20));
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
#define GESTALT_PROBE(name) \
  if (__builtin_cpu_supports(name)) found.push_back(name)
  GESTALT_PROBE("sse4.2");
  GESTALT_PROBE("avx");
  GESTALT_PROBE("avx2");
  GESTALT_PROBE("fma");
  GESTALT_PROBE("avx512f");
  GESTALT_PROBE("avx512bw");
  GESTALT_PROBE("avx512vl");
  GESTALT_PROBE("avx512vnni");
  GESTALT_PROBE("avx512bf16");
#undef GESTALT_PROBE
  // Neither compiler that is supported knows this name in __builtin_cpu_supports.
  if (line_value("/proc/cpuinfo", "flags").find(" amx_bf16") != std::string::npos) found.push_back("amx-bf16");
#elif defined(__aarch64__)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMD) found.push_back("neon");
  if (getauxval(AT_HWCAP) & HWCAP_SVE) found.push_back("sve");
  if (getauxval(AT_HWCAP2) & HWCAP2_SVE2) found.push_back("sve2");
  if (getauxval(AT_HWCAP2) & HWCAP2_BF16) found.push_back("bf16");
#endif
  return found;
}

std::string built_for() {
  namespace cpu = kernels::cpu;
  if constexpr (cpu::built_with_levels) {
    std::string there, lacking;
    for (const cpu::Level level : cpu::levels)
      (level <= cpu::highest_level() ? there : lacking) += fmt::format(" {}", name(level));
    return fmt::format("x86-64-{}, of{}{}", name(cpu::level()), there,
                       lacking.empty() ? "" : fmt::format("; the processor lacks{}", lacking));
  }
#if defined(__AVX512BF16__)
  return "AVX-512 with bf16";
#elif defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__aarch64__)
  return "arm64 with NEON";
#else
  return "the architecture's least";
#endif
}

std::string bf16() {
  if (kernels::cpu::multiplies_bf16()) return "multiplied by the processor; --dtype auto is bf16";
  const std::vector<std::string> found = instruction_sets();
  const auto has = [&](const char* name) { return std::find(found.begin(), found.end(), name) != found.end(); };
  return fmt::format("multiplied in f32, as {}; --dtype auto is f32",
                     has("avx512bf16") ? "oneDNN is kept from the processor's instructions for it"
                     : has("bf16")     ? "our kernels use no instructions of arm64 for it"
                                       : "the processor has no instructions for it");
}

std::string onednn_isa() {
#if !defined(__x86_64__)
  return "what it finds";  // its bits have names for x86-64 alone
#endif
  const auto isa = static_cast<unsigned>(dnnl_get_effective_cpu_isa());
  const std::pair<unsigned, const char*> names[] = {{dnnl_cpu_isa_avx512_core_amx, "AVX-512 with AMX"},
                                                    {dnnl_cpu_isa_avx512_core_bf16, "AVX-512 with bf16"},
                                                    {dnnl_cpu_isa_avx512_core_vnni, "AVX-512 with VNNI"},
                                                    {dnnl_cpu_isa_avx512_core, "AVX-512"},
                                                    {dnnl_cpu_isa_avx2_vnni, "AVX2 with VNNI"},
                                                    {dnnl_cpu_isa_avx2, "AVX2"},
                                                    {dnnl_cpu_isa_avx, "AVX"},
                                                    {dnnl_cpu_isa_sse41, "SSE4.1"}};
  for (const auto& [bits, name] : names)
    if ((isa & bits) == bits) return name;
  return fmt::format("{:#x}", isa);
}

}  // namespace gestalt::tools
