// Runs when something goes wrong: a measure, a start, the data, the files of the run folder.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/tensor/safetensors.h"
#include "tasks/evaluation/image_probe.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/image_method.h"
#include "tasks/training/run.h"
#include "tests/engine/data/images/data_files.h"
#include "tests/source_path.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Method> short_run(int64_t steps = 6) {
  std::unique_ptr<Method> method = tiniest_method("simclr", Device::cpu);
  method->run.steps = steps;
  method->run.probe_every = 1;
  return method;
}

std::unique_ptr<Method> text_run(const std::string& file) {
  std::unique_ptr<Method> method = tiniest_method("gpt", Device::cpu);
  method->run.data = "text:" + file;
  return method;
}

// Goes wrong from epoch to epoch as it is told to.
class FaultyProbe : public ImageProbe {
 public:
  explicit FaultyProbe(std::function<void()> fault) : fault_(std::move(fault)) {}
  std::vector<Metric> measure(Method& method) override {
    fault_();
    return ImageProbe::measure(method);
  }

 private:
  std::function<void()> fault_;
};

struct Killed {};

int64_t step_of(const std::string& folder) { return read_checkpoint_header(folder).state.step; }

// `letters` again and again.
std::string text_of(const std::string& letters) {
  std::string text;
  while (text.size() < 4000) text += letters;
  return text;
}

void flip(const std::string& path, int64_t bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  char byte = 0;
  file.seekg(bit / 8);
  file.get(byte);
  file.seekp(bit / 8);
  file.put(static_cast<char>(byte ^ (1 << bit % 8)));
}

}  // namespace

TEST_CASE("a measure that fails costs neither the weights nor the run, and nothing is trained again") {
  const TemporaryFolder folder;
  const PretrainResult whole = pretrain(*short_run(), {.out = folder / "whole", .quiet = true});
  CHECK(whole.unmeasured.empty());
  const auto faulty = [&](std::unique_ptr<Method> method) {
    method->probe = std::make_unique<FaultyProbe>([] { fail("[probe] no room for the bank"); });
    return method;
  };
  const std::string run = folder / "run";
  const PretrainResult result = pretrain(*faulty(short_run()), {.out = run, .quiet = true});
  CHECK(result.steps == 6);
  CHECK_FALSE(result.interrupted);
  CHECK(result.metrics.empty());
  CHECK(result.unmeasured == "[probe] no room for the bank");
  CHECK(read_text(result.encoder_file) == read_text(whole.encoder_file));
  CHECK(step_of(run) == 6);
  const std::string metrics = read_text(run + "/metrics.csv");
  const PretrainResult again = pretrain(*faulty(method_of_run(run)), {.resume = run, .quiet = true});
  CHECK(again.steps == 6);
  CHECK_FALSE(again.unmeasured.empty());
  // A fault that has gone: it is measured after all, and no step is made.
  const PretrainResult healed = pretrain(*method_of_run(run), {.resume = run, .quiet = true});
  REQUIRE(healed.metrics.size() == 1);
  CHECK(healed.metrics[0].value == whole.metrics[0].value);
  CHECK(read_text(run + "/metrics.csv") == metrics);
  CHECK(read_text(healed.encoder_file) == read_text(whole.encoder_file));
}

TEST_CASE("a run that is killed in its last measure ends with the same bytes") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  pretrain(*short_run(), {.out = folder / "whole", .quiet = true});
  std::unique_ptr<Method> method = short_run();
  int measures = 0;
  method->probe = std::make_unique<FaultyProbe>([&] {
    if (++measures == 2) throw Killed{};
  });
  CHECK_THROWS_AS(pretrain(*method, {.out = run, .quiet = true}), Killed);
  CHECK(step_of(run) == 6);
  CHECK(fs::exists(run + "/encoder.safetensors"));
  pretrain(*method_of_run(run), {.resume = run, .quiet = true});
  CHECK(read_text(run + "/metrics.csv") == read_text(folder / "whole/metrics.csv"));
  CHECK(read_text(run + "/encoder.safetensors") == read_text(folder / "whole/encoder.safetensors"));
}

TEST_CASE("what cannot be measured is known before the first step, and refused where it was asked for") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "short.txt", text_of("abcdefgh").substr(0, 120));  // twelve letters are held out
  const PretrainResult result = pretrain(*text_run(folder / "short.txt"), {.out = folder / "run", .quiet = true});
  CHECK(result.metrics.empty());
  CHECK(result.unmeasured.empty());
  CHECK(fs::exists(result.encoder_file));
  CHECK_THROWS_WITH_AS(
      pretrain(*text_run(folder / "short.txt"), {.out = folder / "b", .must_measure = true, .quiet = true}),
      doctest::Contains("12 tokens"), Error);
  CHECK_FALSE(fs::exists(folder / "b"));
  const std::unique_ptr<Method> method = short_run();
  set_fields(*method, "test", "knn-k = 1000");
  method->open();
  const Probe::Outlook outlook = method->probe->outlook(*method);
  CHECK(outlook.possible);
  CHECK(outlook.note == "kNN lets all 32 labelled images vote, for there are no 1000");
}

TEST_CASE("a start that fails leaves nothing that stands in the way") {
  const TemporaryFolder folder;
  const std::string out = folder / "a/run";
  const auto refused = [&](const std::function<void(Method&)>& change, const char* why) {
    const std::unique_ptr<Method> method = short_run();
    change(*method);
    CHECK_THROWS_WITH_AS(pretrain(*method, {.out = out, .quiet = true}), doctest::Contains(why), Error);
    CHECK_FALSE(fs::exists(folder / "a"));
  };
  refused([](Method& m) { m.run.data = "images:/no/such/folder"; }, "/no/such/folder");
  refused([](Method& m) { set_fields(m, "test", "model = resnet99"); }, "resnet99");
  refused([](Method& m) { m.run.batch = 1; }, "--batch 1, expected 2 or more");
  refused([](Method& m) { m.optimizer.momentum = 2; }, "--momentum 2, expected 0 or more and under 1");
  refused([](Method& m) { m.optimizer.rate = NAN; }, "--lr nan, expected 0 or more");
  {  // no room for the first checkpoint
    rlimit former{};
    getrlimit(RLIMIT_FSIZE, &former);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    const rlimit small{16 << 10, former.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_THROWS_WITH_AS(pretrain(*short_run(), {.out = out, .quiet = true}), doctest::Contains("cannot write"), Error);
    setrlimit(RLIMIT_FSIZE, &former);
    signal(SIGXFSZ, handler);
    CHECK_FALSE(fs::exists(folder / "a"));
  }
  // A loss that is not finite from the first row on.
  const std::unique_ptr<Method> wild = short_run();
  wild->optimizer.rate = 1e30;
  CHECK_THROWS_WITH_AS(pretrain(*wild, {.out = out, .quiet = true}), doctest::Contains("not finite"), Error);
  CHECK(pretrain(*short_run(), {.out = out, .quiet = true}).steps == 6);
}

TEST_CASE("a resume knows the data: others are refused by what differs, the same at another place are taken") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", live = folder / "live.txt";
  write_file_atomically(live, text_of("abcd efgh "));
  CHECK(pretrain(*text_run(live), {.out = run, .quiet = true, .stop_after = 2}).interrupted);
  write_file_atomically(live, text_of("stuv wxyz "));  // as many characters, of as many kinds
  CHECK_THROWS_WITH_AS(pretrain(*method_of_run(run), {.resume = run, .quiet = true}),
                       doctest::Contains("checksum of the tokenizer"), Error);
  write_file_atomically(live, text_of("abcd efgh ") + "abcd");
  CHECK_THROWS_WITH_AS(pretrain(*method_of_run(run), {.resume = run, .quiet = true}), doctest::Contains("tokens 360"),
                       Error);
  CHECK(step_of(run) == 2);
  fs::remove(live);
  CHECK_THROWS_AS(pretrain(*method_of_run(run), {.resume = run, .quiet = true}), Error);
  write_file_atomically(folder / "moved.txt", text_of("abcd efgh "));
  std::unique_ptr<Method> moved = method_of_run(run);
  moved->run.data = "text:" + folder / "moved.txt";
  moved->run.threads = 1;
  CHECK(pretrain(*moved, {.resume = run, .quiet = true, .stop_after = 2}).interrupted);
  CHECK(method_of_run(run)->run.data == moved->run.data);
  CHECK(read_text(run + "/config.json").find("moved.txt") != std::string::npos);
  write_file_atomically(folder / "moved.txt", text_of("dcba hgfe "));
  pretrain(*method_of_run(run), {.resume = run, .allow_other_data = true, .quiet = true});
  const RunOrigin origin = read_checkpoint_header(run).origin;
  REQUIRE(origin.changes.size() == 1);
  CHECK(origin.changes[0].find("from step 4: text:") == 0);
}

TEST_CASE("a resume finds relative paths from another working folder") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "live.txt", text_of("abcd efgh "));
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  pretrain(*text_run("live.txt"), {.out = "run", .quiet = true, .stop_after = 2});
  fs::create_directory("elsewhere");
  fs::current_path("elsewhere");
  CHECK(method_of_run("../run")->run.data == "text:" + fs::path(folder / "live.txt").string());
  CHECK_FALSE(pretrain(*method_of_run("../run"), {.resume = "../run", .quiet = true}).interrupted);
  fs::current_path(before);
}

TEST_CASE(
    "a resume finds several sources, archives, patterns of them and fields of lines from another working folder") {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  const auto run_here = [](std::unique_ptr<Method> method, const std::string& data, const std::string& out) {
    method->run.data = data, method->run.steps = 2;
    if (auto* images = dynamic_cast<ImageMethod*>(method.get())) images->image_size = 8;
    pretrain(*method, {.out = out, .quiet = true});
  };
  for (int i = 0; i < 12; ++i) {
    write_image(folder / fmt::format("a/{}.png", i), pattern(8, 8, i));
    write_image(folder / fmt::format("b/{}.png", i), pattern(8, 8, 100 + i));
  }
  for (const char* shard : {"webdataset-0.tar", "webdataset-1.tar"})
    fs::copy_file(source_path("tests/golden/archives/") + shard, folder / shard);
  write_file_atomically(folder / "lines.jsonl", "{\"text\": \"" + text_of("abcd efgh ") + "\"}\n");
  fs::current_path(folder.path());
  const std::string specs[] = {"images:a,images:b", "tar:webdataset-0.tar", "tar:webdataset-{0..1}.tar",
                               "tar:web*-?.tar", "jsonl:lines.jsonl#text"};
  for (size_t i = 0; i < std::size(specs); ++i)
    run_here(i == 4 ? text_run("") : short_run(), specs[i], fmt::format("run{}", i));
  fs::create_directory("elsewhere");
  fs::current_path("elsewhere");
  const std::string root = fs::canonical(folder.path()).string() + "/";
  std::vector<std::string> found;
  for (size_t i = 0; i < std::size(specs); ++i) found.push_back(method_of_run(fmt::format("../run{}", i))->run.data);
  fs::current_path(before);
  CHECK(found[0] == "images:" + root + "a,images:" + root + "b");
  CHECK(found[1] == "tar:" + root + "webdataset-0.tar");
  CHECK(found[2] == "tar:" + root + "webdataset-{0..1}.tar");
  CHECK(found[3] == "tar:" + root + "web*-?.tar");
  CHECK(found[4] == "jsonl:" + root + "lines.jsonl#text");
}

TEST_CASE("a resume refuses an edited config.json, writes a lost one anew, and goes on without metrics.csv") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", config = run + "/config.json";
  pretrain(*short_run(), {.out = run, .quiet = true, .stop_after = 4});
  const std::string written = read_text(config);
  const auto edited = [&](const std::string& from, const std::string& to, const char* why) {
    std::string text = written;
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
    write_file_atomically(config, text);
    CHECK_THROWS_WITH_AS(pretrain(*method_of_run(run), {.resume = run, .quiet = true}), doctest::Contains(why), Error);
  };
  edited("\"steps\": 6", "\"steps\": 60", "says steps = 60, but the run began with 6");
  edited("\"steps\": 6", "\"stepz\": 6", "unknown name 'stepz'");
  edited("\"simclr\"", "\"byol\"", "says method = byol");
  edited("{", "{{", "config.json");
  edited("\"loader-threads\": 0", "\"loader-threads\": -2", "'loader-threads' -2, expected from 0");
  Json json = parse_json("", written);
  json["checkpoint-minutes"] = 3;  // what may change is honoured
  write_file_atomically(config, json.dump());
  CHECK(method_of_run(run)->run.checkpoint_minutes == 3);
  write_file_atomically(config, parse_json("", written).dump());  // the same in another writing
  CHECK(pretrain(*method_of_run(run), {.resume = run, .quiet = true, .stop_after = 1}).interrupted);
  fs::remove(config);
  fs::remove(run + "/metrics.csv");
  CHECK_FALSE(pretrain(*method_of_run(run), {.resume = run, .quiet = true}).interrupted);
  CHECK(read_text(config) == written);
  CHECK(read_text(run + "/metrics.csv").find("\n6,") != std::string::npos);
}

TEST_CASE(
    "a run whose rate was changed goes on from an earlier checkpoint that knows nothing of that, where it is asked "
    "again") {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  auto first = short_run();
  first->run.keep = 5, first->run.checkpoint_minutes = 0;
  pretrain(*first, {.out = run, .quiet = true, .stop_after = 2});
  auto slower = method_of_run(run);
  slower->optimizer.rate *= 0.5;
  pretrain(*slower, {.resume = run, .quiet = true, .stop_after = 2});
  fs::copy_file(run + "/checkpoint-00000001.safetensors", run + "/checkpoint.safetensors",
                fs::copy_options::overwrite_existing);
  CHECK_THROWS_WITH_AS(pretrain(*method_of_run(run), {.resume = run, .quiet = true}), doctest::Contains("says lr ="),
                       Error);
  auto slowest = method_of_run(run);
  slowest->optimizer.rate *= 0.25;
  CHECK_FALSE(pretrain(*slowest, {.resume = run, .quiet = true}).interrupted);
  CHECK(method_of_run(run)->optimizer.rate == slowest->optimizer.rate);
}

TEST_CASE("a checkpoint with a damaged record is refused in a sentence with its path") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", path = run + "/checkpoint.safetensors";
  pretrain(*short_run(), {.out = run, .quiet = true, .stop_after = 2});
  fs::remove(run + "/checkpoint.previous.safetensors");
  const SafetensorsFile file = read_safetensors(path);
  const auto damaged = [&](const std::vector<std::string>& place, const Json& value, const char* why) {
    Json record = parse_json(path, file.metadata.at("gestalt.run"));
    Json* at = &record;
    for (const std::string& name : place) at = &(*at)[name];
    *at = value;
    write_safetensors(path, file.tensors, {{"gestalt.run", record.dump()}}, true);
    const auto resume = [&] { pretrain(*method_of_run(run), {.resume = run, .quiet = true}); };
    CHECK_THROWS_WITH_AS(resume(), doctest::Contains(why), Error);
    CHECK_THROWS_WITH_AS(resume(), doctest::Contains(path.c_str()), Error);
  };
  damaged({"state", "step"}, 3.7, "'step' is 3.7");
  damaged({"state", "step"}, int64_t{1} << 62, "'step' is 4611686018427387904");
  damaged({"state", "step"}, -3, "'step' is -3");
  damaged({"state", "step"}, 1e300, "'step' is 1e+300");
  damaged({"state", "step"}, "2", "'step' is \"2\"");
  damaged({"state", "step"}, 7, "step 7 of 6");
  damaged({"state", "seconds"}, -1, "'seconds' is -1");
  damaged({"state", "sums"}, 3, "is no object");
  damaged({"state", "row"}, {{1, 2}}, "'row' is 1");
  damaged({"state"}, nullptr, "is no object");
  damaged({"method"}, 3, "'method' is 3");
  damaged({"origin", "changes"}, 3, "'changes' is 3");
  damaged({"fields", "lr"}, -1, "'lr' -1, expected 0 or more");
  damaged({"format"}, 99, "another version");
}

TEST_CASE("checkpoints: any bit that changes and any end that is cut off is found, and the one before is taken") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", path = run + "/checkpoint.safetensors";
  pretrain(*short_run(), {.out = run, .quiet = true, .stop_after = 2});
  const std::string whole = read_text(path);
  CHECK(step_of(run) == 2);
  const std::unique_ptr<Method> method = short_run();
  const std::unique_ptr<Feed> feed = method->open();
  Random random(1);
  method->build(random);
  PhaseClock clock;
  Training training(*method, *feed, clock);
  uint64_t state = 1;
  const auto below = [&](int64_t count) {  // Knuth's MMIX generator
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int64_t>((state >> 11) % static_cast<uint64_t>(count));
  };
  const auto bits = static_cast<int64_t>(whole.size()) * 8;
  int taken = 0;
  const auto takes_the_one_before = [&] {
    const CheckpointHeader header = load_checkpoint(run, training);
    taken += header.state.step == 0 && header.note.find("the checkpoint before it, of step 0") != std::string::npos;
  };
  for (int i = 0; i < 2000; ++i) {
    const int64_t bit = i < 400 ? below(8 * 2000) : below(bits);  // the header has its share
    flip(path, bit);
    takes_the_one_before();
    flip(path, bit);
  }
  CHECK(taken == 2000);
  CHECK(read_text(path) == whole);
  for (int i = 0; i < 200; ++i) {
    fs::resize_file(path, static_cast<uintmax_t>(below(static_cast<int64_t>(whole.size()))));
    takes_the_one_before();
    std::ofstream(path, std::ios::binary) << whole;
  }
  CHECK(taken == 2200);
  fs::remove(path);
  takes_the_one_before();
  CHECK(taken == 2201);
  // Without one before it, damage is an error that names the file.
  std::ofstream(path, std::ios::binary) << whole;
  fs::remove(run + "/checkpoint.previous.safetensors");
  flip(path, bits - 5);
  CHECK_THROWS_WITH_AS(load_checkpoint(run, training), doctest::Contains("is damaged"), Error);
}

TEST_CASE("a run whose last checkpoint is damaged goes on from the one before it, and ends with the same bytes") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", path = run + "/checkpoint.safetensors";
  pretrain(*short_run(12), {.out = folder / "whole", .quiet = true});
  const std::unique_ptr<Method> method = short_run(12);
  method->run.checkpoint_minutes = 0;  // one a step
  pretrain(*method, {.out = run, .quiet = true, .stop_after = 9});
  CHECK(step_of(run) == 9);
  const auto size = static_cast<int64_t>(fs::file_size(path));
  flip(path, size * 8 - 100);  // a weight: the records are right
  const std::unique_ptr<Method> resumed = method_of_run(run);
  CHECK_FALSE(pretrain(*resumed, {.resume = run, .quiet = true}).interrupted);
  CHECK(read_text(run + "/metrics.csv") == read_text(folder / "whole/metrics.csv"));
  CHECK(read_text(run + "/encoder.safetensors") == read_text(folder / "whole/encoder.safetensors"));
}

TEST_CASE("a checkpoint of a program without checksums goes on, and says what is not compared") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", path = run + "/checkpoint.safetensors";
  pretrain(*short_run(), {.out = run, .quiet = true, .stop_after = 2});
  const SafetensorsFile file = read_safetensors(path);
  Json record = parse_json(path, file.metadata.at("gestalt.run"));
  record["format"] = 2;
  record.erase("origin");
  record["state"].erase("row");
  write_safetensors(path, file.tensors, {{"gestalt.run", record.dump()}});
  CHECK(read_checkpoint_header(run).note.find("neither is compared") != std::string::npos);
  CHECK_FALSE(pretrain(*method_of_run(run), {.resume = run, .quiet = true}).interrupted);
}

}  // namespace gestalt::test
