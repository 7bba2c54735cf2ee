// Run folders, metrics that a resume continues, progress lines, phase timers and signals.
#include "engine/run/run_folder.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "engine/run/files.h"
#include "engine/run/phase_clock.h"
#include "engine/run/progress.h"
#include "engine/run/signals.h"
#include "kernels/check.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::vector<std::string> columns{"epoch", "loss", "knn"};

// What `print` writes to a stream.
template <class F>
std::string printed(F&& print) {
  std::FILE* file = std::tmpfile();
  print(file);
  std::fflush(file);
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

}  // namespace

TEST_SUITE("run folder") {
  TEST_CASE("a home folder is found behind a scheme too, and where a file has that name it is meant") {
    const char* home = std::getenv("HOME");
    const std::string former = home ? home : "";
    setenv("HOME", "/home/me", 1);
    CHECK(expand_home("~/runs") == "/home/me/runs");
    CHECK(expand_home("~") == "/home/me");
    CHECK(expand_home("images:~/photos") == "images:/home/me/photos");
    for (const char* as_it_is : {"", "a/~/b", "~other/runs", "images:a/b:~/c", "shapes:100", "/~/x"})
      CHECK(expand_home(as_it_is) == as_it_is);
    if (home)
      setenv("HOME", former.c_str(), 1);
    else
      unsetenv("HOME");
  }

  TEST_CASE("a folder with a run in it is neither overwritten nor shared") {
    TemporaryFolder folder;
    const std::string out = folder / "a/b";
    const auto left_by_a_killed_process = [&] {
      std::filesystem::create_directories(out + "/best/gpt2");
      for (const char* name : {"/model.part-1-2", "/best/gpt2/config.json.part-1-3"})
        write_file_atomically(out + name, "a part");
    };
    const auto parts = [&] {
      return std::filesystem::exists(out + "/model.part-1-2") ||
             std::filesystem::exists(out + "/best/gpt2/config.json.part-1-3");
    };
    std::filesystem::create_directories(out);
    write_file_atomically(out + "/model.part-1-2", "a part");
    {
      RunFolder run = RunFolder::create(out, "simclr");
      CHECK_FALSE(parts());
      CHECK_THROWS_WITH_AS(RunFolder::create(out, "simclr"), doctest::Contains("another process"), Error);
      run.write_config({{"method", "simclr"}, {"epochs", 3}});
      write_file_atomically(run / RunFolder::checkpoint, "weights");
      run.keep();
    }
    CHECK_THROWS_WITH_AS(RunFolder::create(out, "simclr"), doctest::Contains("--resume"), Error);
    left_by_a_killed_process();
    const RunFolder run = RunFolder::resume(out);
    CHECK_FALSE(parts());
    CHECK(run.read_config().dump() == R"({"method":"simclr","epochs":3})");
    CHECK_THROWS_AS(RunFolder::resume(folder / "none"), Error);
    CHECK_THROWS_WITH_AS(RunFolder::resume(""), doctest::Contains("empty --resume"), Error);
    CHECK_THROWS_WITH_AS(RunFolder::resume(folder / "a"), doctest::Contains("holds no run that was saved"), Error);
    write_file_atomically(folder / "file", "");
    CHECK_THROWS_AS(RunFolder::create(folder / "file", "simclr"), Error);
  }

  TEST_CASE("runs without --out get folders of their own") {
    TemporaryFolder folder;
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(folder.path());
    std::string first, second;
    {
      RunFolder a = RunFolder::create("", "simclr"), b = RunFolder::create("", "simclr");
      a.keep();
      b.keep();
      first = a.path();
      second = b.path();
    }
    std::filesystem::current_path(before);
    CHECK(first.starts_with("runs/simclr-20"));
    CHECK(first != second);
    CHECK(std::filesystem::is_directory(folder / second));
  }

  TEST_CASE("metrics continue where the checkpoint stood, byte for byte") {
    TemporaryFolder folder;
    const std::string path = folder / "metrics.csv";
    int64_t kept = 0;
    std::string whole;
    {
      MetricsFile metrics(path, columns);
      metrics.append({{"epoch", 1}, {"loss", 0.1}});
      kept = metrics.bytes();
      metrics.append({{"knn", 0.1 + 0.2}, {"epoch", 2}, {"loss", -1e-300}});
      whole = read_text(path);
      CHECK(whole == "epoch,loss,knn\n1,0.1,\n2,-1e-300,0.30000000000000004\n");
      CHECK_THROWS_WITH_AS(metrics.append({{"los", 1}}), doctest::Contains("did you mean 'loss'"), Error);
    }
    {
      MetricsFile metrics(path, columns, kept, 1);
      CHECK(metrics.note().empty());
      CHECK(read_text(path) == whole.substr(0, static_cast<size_t>(kept)));
      metrics.append({{"knn", 0.1 + 0.2}, {"epoch", 2}, {"loss", -1e-300}});
      CHECK(metrics.bytes() == static_cast<int64_t>(whole.size()));
    }
    CHECK(read_text(path) == whole);
  }

  TEST_CASE("a table that another program saved anew goes on with its rows, one that is lost begins anew") {
    TemporaryFolder folder;
    const std::string path = folder / "metrics.csv", rows = "epoch,loss,knn\n1,0.5,\n2,0.25,50\n";
    const auto goes_on = [&](const std::string& found, double last, const std::string& note) {
      if (found.empty())
        std::filesystem::remove(path);
      else
        write_file_atomically(path, found);
      MetricsFile metrics(path, columns, static_cast<int64_t>(rows.size()), last);
      CHECK_MESSAGE(metrics.note().find(note) != std::string::npos, metrics.note());
      CHECK(metrics.bytes() == static_cast<int64_t>(read_text(path).size()));
      metrics.append({{"epoch", 3}, {"loss", 0.125}});
      return read_text(path);
    };
    const std::string next = "3,0.125,\n", header = "epoch,loss,knn\n";
    CHECK(goes_on(rows, 2, "") == rows + next);
    CHECK(goes_on(rows + "9,1,1\n", 2, "") == rows + next);
    CHECK(goes_on("epoch,loss,knn\r\n1,0.5,\r\n2,0.25,50\r\n", 2, "was changed") == rows + next);
    CHECK(goes_on("\xEF\xBB\xBF" + rows, 2, "was changed") == rows + next);
    CHECK(goes_on("epoch,loss,knn\n1,0.5,\n2,0.25,50", 2, "was changed") == rows + next);
    CHECK(goes_on("epoch,loss,knn\n\n1,0.5,\n2,0.25,50\n9,1,1\n", 2, "was changed") == rows + next);
    CHECK(goes_on("epoch,loss,knn\n1,0.5,\n", 2, "was changed") == "epoch,loss,knn\n1,0.5,\n" + next);
    CHECK(goes_on("epoch,loss,knn\n1,0.5,\n2,0.2", 2, "was changed") == "epoch,loss,knn\n1,0.5,\n" + next);
    CHECK(goes_on("", 2, "is missing") == header + next);
    CHECK(goes_on("epoch;loss\n1;2\n", 2, "metrics.csv.before") == header + next);
    CHECK(read_text(path + ".before") == "epoch;loss\n1;2\n");
  }

  TEST_CASE("a run that fails before it is kept leaves nothing, and nothing of others is taken away") {
    TemporaryFolder folder;
    const std::string out = folder / "a/b";
    {
      const RunFolder run = RunFolder::create(out, "simclr");
      run.write_config({{"method", "simclr"}});
      write_file_atomically(run / RunFolder::checkpoint, "of step 0");
    }
    CHECK_FALSE(std::filesystem::exists(folder / "a"));
    std::filesystem::create_directories(out);
    write_file_atomically(out + "/notes.txt", "mine");
    {
      const RunFolder run = RunFolder::create(out, "simclr");
      run.write_config({{"method", "simclr"}});
      MetricsFile(run / RunFolder::metrics, columns);
    }
    CHECK(read_text(out + "/notes.txt") == "mine");
    CHECK(std::filesystem::exists(out + "/metrics.failed.csv"));
    CHECK_NOTHROW(RunFolder::check_free(out));
    write_file_atomically(out + "/config.json", "{\"model_type\": \"gpt2\"}");
    CHECK_THROWS_WITH_AS(RunFolder::check_free(out), doctest::Contains("no run's"), Error);
    CHECK_THROWS_WITH_AS(RunFolder::check_free(out + "/notes.txt/x"), doctest::Contains("no folder"), Error);
    CHECK_NOTHROW(RunFolder::check_free(folder / "new/er"));
    CHECK_FALSE(std::filesystem::exists(folder / "new"));
  }

  TEST_CASE("a metrics file on a full disk is an error") {
    if (!std::filesystem::exists("/dev/full")) return;
    CHECK_THROWS_WITH_AS(MetricsFile("/dev/full", columns), doctest::Contains("/dev/full"), Error);
  }
}

TEST_SUITE("progress") {
  TEST_CASE("durations") {
    CHECK(duration_text(0) == "0:00");
    CHECK(duration_text(59.6) == "1:00");
    CHECK(duration_text(3723) == "1:02:03");
    CHECK(duration_text(2 * 86400 + 61) == "2 d 0:01:01");
    CHECK(duration_text(-1) == "?");
    CHECK(duration_text(1e300) == "?");
  }

  TEST_CASE("the line counts epochs, steps and time") {
    const PhaseClock none;
    const ProgressPlan plan{0, 95, 10, 256};
    CHECK(progress_text(plan, 1, 5.12345, 2, none) == "epoch 1/10  step 1/10  loss 5.1235  512 images/s  0:47 left");
    CHECK(progress_text(plan, 10, 1, 1, none).starts_with("epoch 1/10  step 10/10 "));
    CHECK(progress_text(plan, 11, 1, 1, none).starts_with("epoch 2/10  step 1/10 "));
    const ProgressPlan text{0, 95, 10, 4096, "tokens"};
    CHECK(progress_text(text, 1, 1, 2, none) == "epoch 1/10  step 1/10  loss 1.0000  8192 tokens/s  0:47 left");
    CHECK(progress_text(plan, 95, 1, 1, none) == "epoch 10/10  step 5/5  loss 1.0000  256 images/s  0:00 left");
  }

  TEST_CASE("a file gets whole lines, a terminal one line redrawn") {
    const ProgressPlan plan{0, 2, 1, 1};
    PhaseClock clock;
    clock.enter(Phase::data);
    clock.enter(Phase::forward);
    clock.end_step();
    const std::string file = printed([&](std::FILE* out) {
      ProgressLine progress(plan, out, false);
      CHECK_FALSE(progress.due(1));
      progress.update(1, 0.5, clock);
      progress.line("knn 0.3");
      progress.update(2, 0.25, clock);
    });
    CHECK(file.find("epoch 1/2") == std::string::npos);
    CHECK(file.starts_with("knn 0.3\nepoch 2/2  step 1/1  loss 0.2500"));
    CHECK(file.find("data 0.0  forward 0.0 ms") != std::string::npos);
    CHECK(file.find('\r') == std::string::npos);
    CHECK(file.ends_with("\n"));
    const std::string terminal = printed([&](std::FILE* out) {
      ProgressLine progress(plan, out, true);
      progress.update(2, 0.25, clock);
      progress.line("knn 0.3");
      progress.update(2, 0.25, clock);
    });
    CHECK(terminal.find(" ms\r\x1b[Kknn 0.3\nepoch 2/2") != std::string::npos);
    CHECK(terminal.ends_with("left  data 0.0  forward 0.0 ms\n"));
    CHECK(shortened("loss 1.0  0:47 left  data 0.1  forward 20.3 ms", 32) == "loss 1.0  0:47 left  data 0.1");
    CHECK(shortened("loss 1.0  0:47 left", 18) == "loss 1.0");
    CHECK(shortened("loss 1.0  0:47 left", 19) == "loss 1.0  0:47 left");
    CHECK(shortened("loss", 2) == "lo");
  }

  TEST_CASE("phases add up what is spent in them") {
    PhaseClock clock;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 2; ++i) {
      clock.enter(Phase::data);
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
      clock.enter(Phase::forward);
      clock.end_step();
      std::this_thread::sleep_for(std::chrono::milliseconds(4));  // belongs to no phase
    }
    const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    CHECK(clock.seconds(Phase::data) >= 0.008);
    CHECK(clock.seconds(Phase::data) + clock.seconds(Phase::forward) <= elapsed - 0.008);
    CHECK(clock.milliseconds_per_step(Phase::data) == doctest::Approx(clock.seconds(Phase::data) * 500));
    clock.reset();
    CHECK(clock.seconds(Phase::data) == 0);
  }
}

// The exit status of a process that does `f`, 3 where f returns.
template <class F>
int status_of(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    f();
    _exit(3);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST_SUITE("signals") {
  TEST_CASE("the first signal sets a flag and the second ends the process") {
    CHECK(status_of([] {
            StopSignal stop;
            if (stop.requested()) _exit(1);
            raise(SIGINT);
            if (!stop.requested() || stop.signal() != SIGINT) _exit(2);
            raise(SIGTERM);
          }) == 128 + SIGTERM);
  }

  TEST_CASE("SIGTERM ends a step that never ends, and not an evaluation that takes long") {
    const auto seconds_from_now = [](double seconds) {
      return std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    };
    // A loop without end must do something that the compiler sees: clang takes an empty one for unreachable.
    static volatile bool stuck = true;
    CHECK(status_of([] {
            StopSignal stop(1);
            raise(SIGTERM);
            while (stuck) continue;
          }) == 128 + SIGTERM);
    CHECK(status_of([&] {
            StopSignal stop(1);
            stop.expect_long();
            raise(SIGTERM);
            for (const auto end = seconds_from_now(1.5); std::chrono::steady_clock::now() < end;) continue;
            if (!stop.requested()) _exit(4);
            for (const auto end = seconds_from_now(1.5); std::chrono::steady_clock::now() < end;) continue;
          }) == 3);
  }

  TEST_CASE("a terminal that goes away stops a run that nobody told to stay") {
    CHECK(status_of([] {
            std::signal(SIGHUP, SIG_DFL);  // the tests may have been told to stay
            StopSignal stop;
            raise(SIGHUP);
            _exit(stop.requested() && stop.signal() == SIGHUP ? 7 : 1);
          }) == 7);
    CHECK(status_of([] {
            std::signal(SIGHUP, SIG_IGN);
            StopSignal stop;
            raise(SIGHUP);
            _exit(stop.requested() ? 1 : 7);
          }) == 7);
  }

  TEST_CASE("former handlers come back") {
    static volatile std::sig_atomic_t seen = 0;
    const auto former = std::signal(SIGTERM, [](int) { seen = 1; });
    {
      StopSignal stop;
      CHECK_THROWS_AS(StopSignal{}, Error);
    }
    raise(SIGTERM);
    CHECK(seen == 1);
    std::signal(SIGTERM, former);
  }
}

}  // namespace gestalt::test
