// What all commands share: words, lists, errors and output.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "engine/run/files.h"
#include "engine/run/json.h"
#include "tasks/training/method.h"
#include "tests/tools/command_runs.h"
#include "tools/output.h"

namespace gestalt::test {

TEST_CASE("list and info: the same as JSON") {
  const auto methods = parse_json("test", gestalt_prints("list methods --json"));
  const bool simclr = std::any_of(methods.begin(), methods.end(), [](const auto& m) { return m["name"] == "simclr"; });
  CHECK(simclr);
  CHECK(contains(gestalt_prints("list tasks"), "\n  --preset simclr-cifar10 "));
  CHECK(parse_json("test", gestalt_prints("list models --json"))[0]["name"].is_string());
  CHECK(parse_json("test", gestalt_prints("list data --json"))[0]["modality"] == "images");
  CHECK(contains(gestalt_prints("list data"), "\n\ntext\n"));
  CHECK(parse_json("test", gestalt_prints("info --json"))["gestalt"].is_string());
  CHECK(contains(gestalt_prints("info"), "\nbuild             "));
}

TEST_CASE("list collapse: each method's signs, with what they mean and the cure") {
  const std::string said = gestalt_prints("list collapse");
  for (const MethodEntry& entry : list_methods())
    CHECK(contains(said, "\n" + entry.name) != said.starts_with(entry.name));
  for (const char* part : {"feature_std below 0.15", "redundancy above 0.5", "which sharpen", "--lambda"})
    CHECK_MESSAGE(contains(said, part), part);
  CHECK(contains(said, "its loss is not won by features"));
}

TEST_CASE("commands say what is wrong with what they are given, and what to do") {
  const std::string encoder = runs().simclr + "/encoder.safetensors";
  const auto says = [](const std::string& line, const std::string& part) {
    const std::string said = gestalt_prints(line);
    CHECK_MESSAGE(contains(said, part), line, " says: ", said);
  };
  says("evaluate knn /no/such/file --data shapes", "/no/such/file");
  says("evaluate knn " + encoder, "no --data");
  says("evaluate knn " + encoder + " --data shpaes", "shapes");
  says("evaluate knn " + encoder + " --data shapes --knnk 3", "--knn-k");
  says("evaluate knn " + runs().simclr + " --data shapes:192 --dtype f32", "knn accuracy");
  says("evaluate knn " + runs().gpt + " --data shapes", "evaluate text");
  says("evaluate knn " + runs().gpt + "/gpt2/model.safetensors --data shapes", "evaluate text");
  says("evaluate linear " + encoder + " --data shapes:192 --labels 2", "above 0 and up to 1");
  says("evaluate linear " + encoder + " --data shapes:192 --raw-pixels --augment", "one of them");
  says("evaluate finetune " + encoder + " --data shapes:192 --layer-decay 0.75", "--layer-decay");
  says("evaluate text " + encoder + " --data sums:400", "GPT");
  says("evaluate text " + runs().simclr + " --data sums:400", "encoder of images");
  says("evaluate text " + runs().gpt + " --data sums:400 --split tset", "validation");
  says("generate " + runs().mae, "encoder of images");
  says("generate " + encoder, "GPT");
  says("generate " + runs().gpt + " --prompt é", "é");
  says("show /no/such/run", "/no/such/run");
  says("show " + runs().mae + " /no/such/file.png", "/no/such/file.png");
}

TEST_CASE("help of pretrain says what to type first, and where the flags are") {
  for (const char* part : {"--data images:photos/", "--dry-run", "'gestalt pretrain simclr --help'"})
    CHECK_MESSAGE(contains(gestalt_prints("pretrain --help"), part), part);
}

TEST_CASE("words that others use for commands and flags are answered with ours") {
  for (const auto& [typed, meant] :
       std::vector<std::pair<std::string, std::string>>{{"train", "'pretrain'"},
                                                        {"encode x", "'embed'"},
                                                        {"eval x", "'evaluate'"},
                                                        {"pretrain simclr --batchsize 3", "'--batch'"}})
    CHECK(contains(gestalt_prints(typed), "did you mean " + meant + "?"));
}

TEST_CASE("output that does not arrive is a failure") {
  if (access("/dev/full", W_OK) != 0) return;
  std::fflush(stdout);
  const int kept = dup(STDOUT_FILENO), full = open("/dev/full", O_WRONLY);
  dup2(full, STDOUT_FILENO);
  std::fputs("a result", stdout);
  std::string error;
  try {
    tools::flush_output();
  } catch (const Error& e) { error = e.what(); }
  dup2(kept, STDOUT_FILENO);
  close(kept);
  close(full);
  std::clearerr(stdout);
  CHECK(error == "cannot write the output: No space left on device");
  CHECK_NOTHROW(tools::flush_output());
}

TEST_CASE("what stands beside a name is broken between words where the terminal is narrow") {
  CHECK(tools::beside("name", "one two three four five six", 8, 30) == "name    one two three four\n        five six");
  CHECK(tools::beside("name", "one two three four five six", 8, 0) == "name    one two three four five six");
  CHECK(tools::beside("a name", "averylongwordthatisnotbroken one", 5, 10) ==
        "a name averylongwordthatisnotbroken\n     one");
  CHECK(tools::beside("name", "", 8, 30) == "name    ");
}

}  // namespace gestalt::test
