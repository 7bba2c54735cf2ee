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

// Starts the program again, once, with OMP_WAIT_POLICY=passive, unless the environment says how threads wait or that
// cannot be done; the first call of main(). By its default libgomp lets threads that wait for others spin for
// milliseconds, on the core that those others need as soon as a second program runs: a small GPT's step of 45 ms took
// 100 to 770 ms beside one busy process, and takes 46 to 50 so (by GOMP_SPINCOUNT=1000 52 to 92). The variable is
// read when libgomp is loaded, before main().
void wait_without_spinning(char** argv);

// Cores' worth of time that control groups leave this process (cpu.max, or cpu.cfs_quota_us), at least 1, or 0 where
// they set no limit. `root` is where /proc and /sys are.
int quota_of_cores(const std::string& root = "/");

}  // namespace gestalt::kernels::cpu
