// The threads that kernels share their work among, and how many there are.
#pragma once

#include <cstdint>
#include <string>

namespace gestalt::kernels::cpu {

// How many threads take pieces, the caller's among them. Where nobody has set it: OMP_NUM_THREADS, else a core each of
// those that affinity and the control group leave; OMP_THREAD_LIMIT bounds both.
int team_size();

// Asks for so many threads, at least 1; fewer where the system starts no more.
void set_team_size(int threads);

// Calls run(what, i) once for each i in [0, count), in any order, on the team's threads, and returns when all are done;
// rethrows the first exception that a call threw, and pieces not begun by then may be left out. Each thread takes its
// own share of the pieces first, the same one in every launch of so many, so that its caches know them, and then what
// others have left. Nobody waits for a thread that has no piece in hand, and threads without work sleep after some
// microseconds. A call from within a piece, or while another thread's is running, does all pieces itself. Throws Error
// for more than 65,535 pieces.
void run_pieces(int64_t count, void (*run)(const void* what, int64_t piece), const void* what);

// Cores' worth of time that control groups leave this process (cpu.max, or cpu.cfs_quota_us), at least 1, or 0 where
// they set no limit. `root` is where /proc and /sys are.
int quota_of_cores(const std::string& root = "/");

}  // namespace gestalt::kernels::cpu
