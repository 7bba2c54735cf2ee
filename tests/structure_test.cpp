// The shape of the source tree: who includes whom, where backends mirror each other, how files open.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "kernels/launch.h"
#include "tests/source_path.h"

namespace gestalt::test {
namespace {

namespace fs = std::filesystem;

const fs::path root = source_path("");
// Each includes itself and what stands before it; CMakeLists.txt has a library for each, in this order.
const std::vector<std::string> layers{"kernels",        "engine/run",       "engine/tensor", "engine/ops",
                                      "engine/nn",      "engine/data",      "engine",        "models",
                                      "tasks/training", "tasks/evaluation", "tasks",         "tools"};
const std::vector<std::string> tops{"kernels", "engine", "models", "tasks", "tools"};
const std::set<std::string> extensions{".h", ".cpp", ".cu", ".cuh"};

// Sources below `folder`, as paths from the root.
std::vector<std::string> sources(const std::string& folder) {
  std::vector<std::string> found;
  if (!fs::is_directory(root / folder)) return found;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder))
    if (entry.is_regular_file() && extensions.contains(entry.path().extension().string()))
      found.push_back(fs::relative(entry.path(), root).string());
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::string> lines(const std::string& file) {
  std::ifstream in(root / file);
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

// The layer whose name is the longest beginning of `path`; -1 for none.
int layer_of(const std::string& path) {
  int best = -1;
  for (size_t i = 0; i < layers.size(); ++i)
    if (path.starts_with(layers[i] + "/") && (best < 0 || layers[i].size() > layers[static_cast<size_t>(best)].size()))
      best = static_cast<int>(i);
  return best;
}

// What is wrong with `file` in `layer` including `included`, or nothing.
std::string problem(const std::string& included, int layer, bool angled) {
  const int target = layer_of(included);
  const bool ours = target >= 0 || included.starts_with("tests/") || included.starts_with("bench/");
  if (angled) return ours ? "writes a file of the project in angle brackets" : "";
  if (!ours) return "includes by a path that does not begin at the root";
  if (target < 0) return "includes tests or benchmarks";
  return target > layer ? "includes a folder to its right" : "";
}

}  // namespace

// A bundle has programs and golden records, and no tree.
const bool without_tree = !fs::exists(root / "CMakeLists.txt");

TEST_SUITE("structure" * doctest::skip(without_tree)) {
  TEST_CASE("a folder includes itself and what is below it, nothing else") {
    const std::regex include(R"re(^\s*#\s*include\s*(["<])([^">]+)[">])re");
    int seen = 0;
    for (const std::string& top : tops) {
      for (const std::string& file : sources(top)) {
        const int layer = layer_of(file);
        for (const std::string& line : lines(file)) {
          std::smatch match;
          if (!std::regex_search(line, match, include)) continue;
          ++seen;
          const std::string wrong = problem(match[2], layer, match[1] == "<");
          CHECK_MESSAGE(wrong.empty(), file, " ", wrong, ": ", line);
        }
      }
    }
    CHECK(seen > 100);
  }

  TEST_CASE("the check itself tells right from wrong") {
    const auto from = [](const std::string& folder, const std::string& included, bool angled = false) {
      return problem(included, layer_of(folder + "/x.h"), angled);
    };
    CHECK(from("engine/tensor", "kernels/math.h").empty());
    CHECK(from("engine/nn", "engine/tensor/tensor.h").empty());
    CHECK(from("kernels", "vector", true).empty());
    CHECK(from("kernels/cuda", "cub/cub.cuh", true).empty());
    CHECK(from("tasks", "tasks/evaluation/finetune.h").empty());
    CHECK_FALSE(from("kernels/cpu", "engine/tensor/tensor.h").empty());
    CHECK_FALSE(from("engine/ops", "engine/nn/module.h").empty());
    CHECK_FALSE(from("engine/data/images", "engine/gestalt.h").empty());
    CHECK_FALSE(from("tasks/training", "tasks/evaluation/finetune.h").empty());
    CHECK_FALSE(from("tools", "tests/engine/ops/op_table.h").empty());
    CHECK_FALSE(from("engine/nn", "engine/tensor/tensor.h", true).empty());
    CHECK_FALSE(from("engine/tensor", "tensor.h").empty());
  }

  TEST_CASE("CLI11, which takes seconds to compile, is included by one source of the program") {
    std::vector<std::string> including;
    for (const std::string& top : tops)
      for (const std::string& file : sources(top))
        for (const std::string& line : lines(file))
          if (line.starts_with("#include <CLI/CLI.hpp>")) including.push_back(file);
    CHECK(including == std::vector<std::string>{"tools/command_line.cpp"});
  }

  TEST_CASE("a method is one short source directly in tasks/, and includes no other") {
    int methods = 0;
    for (const std::string& file : sources("tasks")) {
      if (fs::path(file).parent_path() != "tasks") continue;
      const std::vector<std::string> text = lines(file);
      CHECK_MESSAGE(file.ends_with(".cpp"), file, " is no source of a method");
      CHECK_MESSAGE(text.size() <= 130, file, " has ", text.size(), " lines, more than 130");
      const auto registers = std::count_if(
          text.begin(), text.end(), [](const std::string& line) { return line.starts_with("const RegisterMethod<"); });
      CHECK_MESSAGE(registers == 1, file, " registers ", registers, " methods, not one");
      for (const std::string& line : text) {
        const bool other = line.starts_with("#include \"tasks/") && line.find('/') == line.rfind('/');
        CHECK_MESSAGE(!other, file, " includes another method: ", line);
      }
      ++methods;
    }
    CHECK(methods >= 5);
  }

  TEST_CASE("the step stands once: nothing else has an optimizer at work") {
    const std::regex work(
        R"re(\bOptimizer\s*[({]|\bOptimizer\s+\w+\s*[({;]|optimizer\w*(\.|->)(begin_step|step|update)\()re");
    CHECK(std::regex_search("  Optimizer optimizer(arena, options);", work));
    CHECK(std::regex_search("  learner.optimizer.update();", work));
    CHECK_FALSE(std::regex_search("  OptimizerOptions optimizer;", work));
    for (const char* folder : {"tasks", "bench", "tools", "tests/tasks"})
      for (const std::string& file : sources(folder)) {
        if (file == "tasks/training/training.cpp" || file == "tasks/training/training.h") continue;
        for (const std::string& line : lines(file))
          CHECK_MESSAGE(!std::regex_search(line, work), file, " makes a step of its own: ", line);
      }
  }

  TEST_CASE("the public header has every op, every layer and the tensor's own headers") {
    std::set<std::string> included;
    for (const std::string& line : lines("engine/gestalt.h"))
      if (line.starts_with("#include \"")) included.insert(line.substr(10, line.size() - 11));
    std::vector<std::string> expected;
    for (const char* name : {"tensor", "autograd", "random", "safetensors"})
      expected.push_back(std::string("engine/tensor/") + name + ".h");
    for (const char* folder : {"engine/ops", "engine/nn"})
      for (const std::string& file : sources(folder))
        if (file.ends_with(".h")) expected.push_back(file);
    for (const std::string& file : expected)
      CHECK_MESSAGE(included.contains(file), "engine/gestalt.h does not include ", file);
    for (const std::string& file : included) CHECK_MESSAGE(fs::exists(root / file), file, " is not there");
  }

  TEST_CASE("every folder of sources has a README of at most 80 lines") {
    std::set<std::string> folders(tops.begin(), tops.end());
    folders.insert({"tasks/recipes", "tests", "bench"});
    for (const std::string& top : tops)
      for (const std::string& file : sources(top)) folders.insert(fs::path(file).parent_path().string());
    for (const std::string& folder : folders) {
      if (folder == "kernels/cpu" || folder == "kernels/cuda") continue;  // kernels/README.md is about both sides
      const size_t count = lines(folder + "/README.md").size();
      CHECK_MESSAGE(count > 0, folder, " has no README.md");
      CHECK_MESSAGE(count <= 80, folder, "/README.md has ", count, " lines, more than 80");
    }
  }

  TEST_CASE("every source opens with a sentence that says what it is for") {
    std::vector<std::string> folders = tops;
    folders.insert(folders.end(), {"tests", "bench"});
    for (const std::string& folder : folders) {
      for (const std::string& file : sources(folder)) {
        const std::vector<std::string> text = lines(file);
        const bool opens = !text.empty() && text[0].starts_with("// ") && text[0].size() > 20;
        CHECK_MESSAGE(opens, file, " does not open with a comment");
        if (text.size() > 500 && !file.starts_with("tests/golden/"))
          MESSAGE(file << " has " << text.size() << " lines, more than 500");
      }
    }
  }

  TEST_CASE("the README's example is the program that the package test builds and runs") {
    std::string readme, example;
    for (const std::string& line : lines("README.md")) readme += line + "\n";
    for (const std::string& line : lines("tests/package/main.cpp")) example += line + "\n";
    CHECK(readme.find("```cpp\n" + example + "```") != std::string::npos);
  }

  TEST_CASE("the two backends have the same files") {
    // A family is a header of argument structs; helpers of one backend have no header there.
    std::string lacking;
    for (const std::string& file : sources("kernels")) {
      const std::string family = fs::path(file).stem().string();
      const std::vector<std::string> text = lines(file);
      const bool declares = std::any_of(text.begin(), text.end(),
                                        [](const std::string& line) { return line.starts_with("GESTALT_KERNEL("); });
      if (!declares) continue;
      CHECK_MESSAGE(fs::exists(root / "kernels/cpu" / (family + ".cpp")), "kernels/cpu lacks ", family);
      if (!fs::exists(root / "kernels/cuda" / (family + ".cu"))) lacking += " " + family;
    }
    // Without CUDA in the build, kernels that are still to be ported are no failure.
    if (kernels::built_with_cuda)
      CHECK_MESSAGE(lacking.empty(), "kernels/cuda lacks", lacking);
    else if (!lacking.empty())
      MESSAGE("kernels/cuda lacks" << lacking);
  }

  TEST_CASE("subcommands stay short") {
    for (const std::string& file : sources("tools"))
      if (file != "tools/flags.cpp")
        CHECK_MESSAGE(lines(file).size() < 150, file, " has ", lines(file).size(), " lines");
  }

  TEST_CASE("the root holds what the design says") {
    const std::set<std::string> allowed{"CMakeLists.txt", "CMakePresets.json",
                                        "README.md",      "LICENSE",
                                        "kernels",        "engine",
                                        "models",         "tasks",
                                        "tools",          "tests",
                                        "bench"};
    for (const auto& entry : fs::directory_iterator(root)) {
      const std::string name = entry.path().filename().string();
      const bool ignored = name.starts_with('.') || name.starts_with("build") || name == "runs" || name == "out" ||
                           name == "dist" || name == "third_party" || name == "CMakeUserPresets.json" ||
                           name == "compile_commands.json";
      CHECK_MESSAGE((ignored || allowed.contains(name)), "'", name, "' is not among what the root holds");
    }
  }
}

}  // namespace gestalt::test
