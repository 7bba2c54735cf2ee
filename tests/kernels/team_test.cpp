// Teams of threads: as many as OpenMP gives and control groups leave, and right results where it gives fewer.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <omp.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/run/files.h"
#include "kernels/cpu/team.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

using kernels::cpu::quota_of_cores;
using kernels::cpu::team_size;

void write(const TemporaryFolder& root, const std::string& file, const std::string& text) {
  const std::filesystem::path path(root / file);
  std::filesystem::create_directories(path.parent_path());
  write_file_atomically(path.string(), text);
}

// The losses that a process of this program with these variables prints; see "losses of a child".
std::vector<double> losses_of_child(const std::string& variables) {
  const std::string command = fmt::format("env {} timeout 100 '{}' --no-skip -tc='losses of a child'", variables,
                                          std::filesystem::read_symlink("/proc/self/exe").string());
  std::string said;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  for (char text[512]; std::fgets(text, sizeof text, pipe) != nullptr;) said += text;
  const int status = pclose(pipe);
  CAPTURE(variables);
  CAPTURE(said);
  REQUIRE(status == 0);
  const size_t at = said.find("losses:");
  REQUIRE(at != std::string::npos);
  std::istringstream numbers(said.substr(at + 7));
  std::vector<double> losses;
  for (double loss; numbers >> loss;) losses.push_back(loss);
  return losses;
}

}  // namespace

TEST_CASE("team: its size follows OpenMP's, in each thread, and is 1 within a team") {
  const int before = omp_get_max_threads();
  for (const int threads : {3, 1, 2}) {
    omp_set_num_threads(threads);
    CHECK(team_size() == threads);
  }
  omp_set_dynamic(1);
  CHECK(team_size() == 2);
  CHECK_FALSE(omp_get_dynamic());
  int within = 0;
#pragma omp parallel
#pragma omp master
  within = team_size();
  CHECK(within == 1);
  std::thread([] {
    kernels::cpu::set_team_size(3);
    CHECK(team_size() == 3);
  }).join();
  CHECK(team_size() == 2);
  omp_set_num_threads(before);
}

TEST_CASE("team: the limits of control groups, in both versions of their files") {
  const TemporaryFolder root;
  CHECK(quota_of_cores(root / "nothing") == 0);
  write(root, "proc/self/cgroup", "0::/pod/box\n");
  write(root, "sys/fs/cgroup/pod/box/cpu.max", "max 100000\n");
  CHECK(quota_of_cores(root / "") == 0);
  write(root, "sys/fs/cgroup/pod/cpu.max", "350000 100000\n");  // a limit holds for groups within
  CHECK(quota_of_cores(root / "") == 4);
  write(root, "sys/fs/cgroup/pod/box/cpu.max", "50000 100000\n");
  CHECK(quota_of_cores(root / "") == 1);
  write(root, "proc/self/cgroup", "9:memory:/box\n4:cpuacct,cpu:/box\n");
  write(root, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
  write(root, "sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  CHECK(quota_of_cores(root / "") == 0);
  write(root, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000\n");
  CHECK(quota_of_cores(root / "") == 2);
}

TEST_CASE("team: this program has started itself again so that threads wait without spinning") {
  CHECK((std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT") || std::getenv("KMP_BLOCKTIME")));
}

TEST_CASE("losses of a child" * doctest::skip()) {
  std::string line = "losses:";
  for (const char* name : {"simclr", "gpt"})
    for (const double loss : train_steps(*tiny_method(name), 4, false).losses) line += fmt::format(" {:.17g}", loss);
  std::puts(line.c_str());
}

TEST_CASE("team: where OpenMP gives fewer threads than it says, steps are those of as many threads as there are") {
  const std::vector<double> one = losses_of_child("-u OMP_THREAD_LIMIT OMP_NUM_THREADS=1");
  CHECK(one.size() == 8);
  CHECK(losses_of_child("OMP_NUM_THREADS=4 OMP_THREAD_LIMIT=1") == one);
  const std::vector<double> two = losses_of_child("-u OMP_THREAD_LIMIT OMP_NUM_THREADS=2");
  CHECK(losses_of_child("OMP_NUM_THREADS=4 OMP_THREAD_LIMIT=2") == two);
  CHECK(losses_of_child("OMP_NUM_THREADS=2 OMP_DYNAMIC=true") == two);
  for (size_t i = 0; i < one.size(); ++i) CHECK(two.at(i) == doctest::Approx(one[i]).epsilon(1e-3));
}

}  // namespace gestalt::test
