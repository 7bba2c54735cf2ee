// How many threads OpenMP really gives, which oneDNN's plans and our own loops are made for.
#pragma once

#include <cstdint>
#include <string>

namespace gestalt::kernels::cpu {

// The size of the teams that the calling thread starts: what OpenMP is set to, or less where it gives less
// (OMP_THREAD_LIMIT). Where nobody has set it, a core each of those that affinity and the control group leave. Kernels
// ask this and not omp_get_max_threads(): oneDNN goes by that number, and what it planned for threads that are not
// there it leaves unwritten, or waits for. So the first call in a thread, and each after omp_set_num_threads(), starts
// a team to count it, sets OpenMP to what it found, and turns teams of varying size (OMP_DYNAMIC) off. In a team it
// is 1.
int team_size();

// Asks for so many threads, 1 or more, in teams that the calling thread starts; team_size() says what came of it.
void set_team_size(int threads);

// Cores' worth of time that control groups leave this process (cpu.max, or cpu.cfs_quota_us), at least 1, or 0 where
// they set no limit. `root` is where /proc and /sys are.
int quota_of_cores(const std::string& root = "/");

}  // namespace gestalt::kernels::cpu
