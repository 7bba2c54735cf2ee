// What this machine is, and what this program makes of it, in words for `gestalt info`.
#pragma once

#include <string>
#include <vector>

namespace gestalt::tools {

// The value of the first line of `file` that begins with `key`, after its colon; "unknown" where there is none.
std::string line_value(const char* file, const std::string& key);
// Cores this process may run on, which a container may have fewer of than the machine.
int usable_cores();
// A size of /proc/meminfo.
std::string memory(const char* key);
// Those of the processor that matter here.
std::vector<std::string> instruction_sets();
// What the own kernels that run are compiled for, and what others of this build are.
std::string built_for();
// How bf16 is multiplied, and what --dtype auto makes of it on the CPU.
std::string bf16();
// What oneDNN may use; ONEDNN_MAX_CPU_ISA lowers it.
std::string onednn_isa();

}  // namespace gestalt::tools
