// Counting the threads of a team, and reading the limits of control groups.
#include "kernels/cpu/team.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace gestalt::kernels::cpu {
namespace {

thread_local int counted = 0;  // what OpenMP was set to after the last count

// Sets OpenMP to the size of the team that it gives if asked for so many.
void settle(int wanted) {
  omp_set_dynamic(0);
  omp_set_num_threads(wanted);
  int real = 1;
#pragma omp parallel
#pragma omp master
  real = omp_get_num_threads();
  omp_set_num_threads(real);
  counted = real;
}

// OpenMP's own default knows affinity and not control groups. libgomp and libomp take OMP_NUM_THREADS as the user's
// word.
int wanted_at_first() {
  const int set = omp_get_max_threads();
  if (std::getenv("OMP_NUM_THREADS") != nullptr || set != omp_get_num_procs()) return set;
  static const int quota = quota_of_cores();
  return quota > 0 ? std::min(set, quota) : set;
}

// Cores that a group's files allow, 0: as many as there are.
double cores_of_group(const std::string& folder) {
  std::string quota;
  double period = 0;
  std::ifstream both(folder + "/cpu.max"), old_quota(folder + "/cpu.cfs_quota_us"),
      old_period(folder + "/cpu.cfs_period_us");
  if (!(both >> quota >> period) && !(old_quota >> quota && old_period >> period)) return 0;
  if (quota == "max" || quota.starts_with("-") || period <= 0) return 0;
  return std::atof(quota.c_str()) / period;
}

}  // namespace

int team_size() {
  if (omp_in_parallel()) return 1;
  if (counted == 0)
    settle(wanted_at_first());
  else if (omp_get_max_threads() != counted || omp_get_dynamic())
    settle(omp_get_max_threads());
  return counted;
}

void set_team_size(int threads) { settle(threads); }

void wait_without_spinning(char** argv) {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})
    if (std::getenv(name) != nullptr) return;
  // Its own name, and not /proc/self/exe, is what the system then shows of the process.
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = 0;
  setenv("OMP_WAIT_POLICY", "passive", 0);
  execv(path, argv);
}

int quota_of_cores(const std::string& root) {
  double least = 0;
  std::ifstream groups(root + "/proc/self/cgroup");
  // Lines are "0::/path", or of the first version "4:cpu,cpuacct:/path". A limit of a group holds for those in it.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    const std::string mount = root + "/sys/fs/cgroup" + (controllers.empty() ? "" : "/cpu");
    for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
      const double cores = cores_of_group(mount + path);
      if (cores > 0) least = least > 0 ? std::min(least, cores) : cores;
      if (path.find('/') == std::string::npos) break;
    }
  }
  return static_cast<int>(std::ceil(least));
}

}  // namespace gestalt::kernels::cpu
