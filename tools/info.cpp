// `gestalt info`: the machine, the libraries and the options that this program was built with.
#include <dnnl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>
#include <CLI/Version.hpp>

#include <memory>
#include <string>
#include <thread>

#include "engine/data/archive.h"
#include "engine/data/images/more_formats.h"
#include "engine/run/json.h"
#include "engine/tensor/device_memory.h"
#include "kernels/cpu/team.h"
#include "tools/commands.h"
#include "tools/machine.h"

namespace gestalt::tools {
namespace {

void info(bool json) {
  Json rows;
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
  row("nlohmann-json", json_library());
  row("CLI11", CLI11_VERSION);
  row("zlib", zlibVersion());
  row("archives", archive_library());
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
