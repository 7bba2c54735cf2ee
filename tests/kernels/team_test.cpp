// The team of threads: each piece once, as many threads as were asked for or the limits leave, the same bits with any.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/run/files.h"
#include "kernels/check.h"
#include "kernels/cpu/parallel.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"
#include "tests/threads.h"

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

TEST_CASE("team: every piece is done once, whoever takes it, from several threads at once and from within a piece") {
  for (const int threads : {1, 2, 3, 7}) {
    const Threads team(threads);
    CHECK(team_size() == threads);
    const auto fill = [](int64_t count) {
      std::vector<std::atomic<int>> done(static_cast<size_t>(count));
      kernels::cpu::parallel_pieces(count, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
      return std::all_of(done.begin(), done.end(), [](const auto& times) { return times == 1; });
    };
    std::atomic<int> wrong = 0;
    const auto caller = [&] {
      for (int turn = 0; turn < 300; ++turn) wrong += !fill(1 + turn % 40);
    };
    std::thread other(caller);
    caller();
    other.join();
    kernels::cpu::parallel_pieces(5, [&](int64_t) { wrong += !fill(9); });
    CHECK(wrong == 0);
  }
}

TEST_CASE("team: ranges cover all once, are as long as the grain, and do not depend on the threads") {
  const auto ranges = [](int64_t count, int64_t grain, int threads) {
    const Threads team(threads);
    std::mutex mutex;
    std::set<std::pair<int64_t, int64_t>> found;
    kernels::cpu::parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
      const std::lock_guard lock(mutex);
      found.emplace(begin, end);
    });
    return found;
  };
  for (const int64_t count : {0, 1, 7, 1000, 4097}) {
    const auto found = ranges(count, 10, 1);
    CHECK(ranges(count, 10, 3) == found);
    CHECK(found.size() <= 64);
    int64_t at = 0;
    for (const auto& [begin, end] : found) {
      CHECK(begin == at);
      CHECK(end - begin >= std::min<int64_t>(count, 10));
      at = end;
    }
    CHECK(at == count);
  }
}

TEST_CASE("team: an exception of a piece reaches the caller once all pieces are done, and the next launch is well") {
  for (const int threads : {1, 3}) {
    const Threads team(threads);
    CHECK_THROWS_WITH(kernels::cpu::parallel_pieces(20, [](int64_t i) { check(i != 11, "piece {} is bad", i); }),
                      "piece 11 is bad");
    std::atomic<int> done = 0;
    kernels::cpu::parallel_pieces(20, [&](int64_t) { ++done; });
    CHECK(done == 20);
  }
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

TEST_CASE("losses of a child" * doctest::skip()) {
  std::string line = "losses:";
  for (const char* name : {"simclr", "gpt"})
    for (const double loss : train_steps(*tiny_method(name), 4, false).losses) line += fmt::format(" {:.17g}", loss);
  std::puts(line.c_str());
}

TEST_CASE("team: OpenMP's variables say how many threads there are, and losses are bitwise the same with any number") {
  const std::vector<double> one = losses_of_child("-u OMP_THREAD_LIMIT OMP_NUM_THREADS=1");
  CHECK(one.size() == 8);
  CHECK(losses_of_child("-u OMP_THREAD_LIMIT OMP_NUM_THREADS=2") == one);
  CHECK(losses_of_child("-u OMP_THREAD_LIMIT OMP_NUM_THREADS=5") == one);
  CHECK(losses_of_child("OMP_NUM_THREADS=4 OMP_THREAD_LIMIT=1") == one);
  CHECK(losses_of_child("OMP_NUM_THREADS=2 OMP_DYNAMIC=true") == one);
}

}  // namespace gestalt::test
