// `gestalt info`: the machine, the libraries and the options that this program was built with.
#include <dnnl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>
#include <zlib.h>
#include <CLI/Version.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/data/images/more_formats.h"
#include "engine/tensor/device_memory.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/team.h"
#include "tools/commands.h"

namespace gestalt::tools {
namespace {

// The value of the first line of `file` that begins with `key`, after its colon.
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

// Cores this process may run on, which a container may have fewer of than the machine.
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
#endif
  return found;
}

// What this build's own kernels are compiled for.
const char* built_for() {
#if defined(__AVX512BF16__)
  return "AVX-512 with bf16";
#elif defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#else
  return "the architecture's least";
#endif
}

// How bf16 is multiplied, and what --dtype auto makes of it on the CPU.
std::string bf16() {
  if (kernels::cpu::multiplies_bf16()) return "multiplied by the processor; --dtype auto is bf16";
  const std::vector<std::string> found = instruction_sets();
  const bool lowered = std::find(found.begin(), found.end(), "avx512bf16") != found.end();
  return fmt::format(
      "multiplied in f32, as {}; --dtype auto is f32",
      lowered ? "oneDNN is kept from the processor's instructions for it" : "the processor has no instructions for it");
}

// What oneDNN may use; ONEDNN_MAX_CPU_ISA lowers it.
std::string onednn_isa() {
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

void info(bool json) {
  nlohmann::ordered_json rows;
  const auto row = [&](const char* name, const std::string& value) { rows[name] = value; };
  const dnnl_version_t* dnnl = dnnl_version();
  row("gestalt", GESTALT_VERSION);
  row("build", GESTALT_BUILD);
  row("compiler", __VERSION__);
  row("processor", line_value("/proc/cpuinfo", "model name"));
  const int quota = kernels::cpu::quota_of_cores();
  row("cores",
      fmt::format("{} usable of {}{}; {} threads", usable_cores(), std::thread::hardware_concurrency(),
                  quota > 0 ? fmt::format(", {} by the control group's limit", quota) : "", kernels::cpu::team_size()));
  row("instruction sets", fmt::format("{}", fmt::join(instruction_sets(), " ")));
  row("own kernels", fmt::format("for {}", built_for()));
  row("bf16", bf16());
  row("memory", fmt::format("{}, {} available", memory("MemTotal"), memory("MemAvailable")));
  row("devices", cuda_report().found ? "cpu cuda" : "cpu");
  row("cuda", cuda_report().text);
  row("oneDNN", fmt::format("{}.{}.{} ({}), uses {}", dnnl->major, dnnl->minor, dnnl->patch,
                            dnnl->cpu_runtime == DNNL_RUNTIME_OMP ? "OpenMP" : "own threads", onednn_isa()));
  row("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  row("nlohmann-json",
      fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH));
  row("CLI11", CLI11_VERSION);
  row("zlib", zlibVersion());
  row("images", fmt::format("{} are read", fmt::join(image_formats(), ", ")));
  if (json) return fmt::print("{}\n", rows.dump());
  for (const auto& [name, value] : rows.items()) fmt::print("{:<18}{}\n", name, value.get<std::string>());
}

}  // namespace

void add_info(Command program) {
  const Command command = program.add("info", "show devices, instruction sets and libraries");
  const auto json = std::make_shared<bool>(false);
  command.flag("json", *json, "as one line of JSON");
  command.on_run([json] { info(*json); });
}

}  // namespace gestalt::tools
