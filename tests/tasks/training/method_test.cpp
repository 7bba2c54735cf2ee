// What every registered method must do, without asking: learn one batch, resume bit for bit, ignore thread counts.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>

#include "engine/run/files.h"
#include "engine/tensor/safetensors.h"
#include "tasks/training/run.h"
#include "tasks/training/training.h"
#include "tests/devices.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/temporary_folder.h"
#include "tests/threads.h"

namespace gestalt::test {
namespace {

bool same_bits(const std::string& a, const std::string& b) {
  const SafetensorsFile x = read_safetensors(a + "/checkpoint.safetensors");
  const SafetensorsFile y = read_safetensors(b + "/checkpoint.safetensors");
  if (x.tensors.size() != y.tensors.size()) return false;
  for (const NamedTensor& t : x.tensors) {
    const Tensor& u = y.at(t.name);
    if (t.tensor.bytes() != u.bytes() || std::memcmp(t.tensor.in().data, u.in().data, t.tensor.bytes())) return false;
  }
  return true;
}

bool has_queue(const std::string& folder) {
  for (const NamedTensor& t : read_safetensors(folder + "/checkpoint.safetensors").tensors)
    if (t.name.starts_with("method.queue")) return true;
  return false;
}

std::vector<double> column_loss(const std::string& folder) {
  std::ifstream file(folder + "/metrics.csv");
  std::string line;
  std::getline(file, line);
  std::vector<double> losses;
  while (std::getline(file, line)) {
    std::stringstream cells(line);
    std::string cell;
    for (int i = 0; i < 3; ++i) std::getline(cells, cell, ',');
    losses.push_back(std::stod(cell));
  }
  return losses;
}

// What has to fall: of networks that learn against each other the first one's loss; where targets have an entropy of
// their own, the part above it.
double to_lower(const Training::Scalars& scalars, bool several_networks) {
  for (const auto& [name, value] : scalars)
    if (name == "kl") return value.item();
  return scalars.at(several_networks ? 1 : 0).second.item();
}

// Trains on the first batch alone, for so many steps; what has to fall ends below `share` of what it was.
void check_learns(std::unique_ptr<Method> method, int64_t steps, double share) {
  set_fields(*method, "test",
             "optimizer = adamw\nlr = 2e-3\nlr-scaling = none\nweight-decay = 0\nweight-decay-end = -1\n"
             "warmup-epochs = 0\nfinal-lr = 1\nsteps = 60\ngraph = false\n");
  // A teacher that moves, or that a centre moves, would be followed rather than learned.
  if (method->name() == "dino" || method->name() == "ibot")
    set_fields(*method, "test",
               "teacher-momentum = 1\nteacher-momentum-end = 1\ncentre = false\nteacher-temperature-end = 0.04\n"
               "lr = 5e-4");
  // So would an adversary that moves as fast.
  if (method->name() == "gan") set_fields(*method, "test", "generator-lr = 1e-5");
  CAPTURE(method->name());
  CAPTURE(method->run.device);
  CAPTURE(method->run.dtype);
  const std::unique_ptr<Feed> feed = method->open();
  Random random(1);
  method->build(random);
  PhaseClock clock;
  // Clusters that are found anew would be followed as well.
  FixedFeed one(feed->at(0, clock), method->name().starts_with("deepcluster") ? 1000 : 1);
  Training training(*method, one, clock);
  const bool several = method->networks().size() > 1;
  const auto loss = [&] { return to_lower(training.step().at(0), several); };
  double first = loss();
  // What a queue begins with is nothing like an image's embedding; after two steps it holds the batch's own.
  const std::vector<NamedPart> all = parts(*method);
  if (std::any_of(all.begin(), all.end(), [](const NamedPart& p) { return p.name.starts_with("queue"); }))
    while (training.steps() < 3) first = loss();
  double last = first;
  while (training.steps() < steps) last = loss();
  CHECK_MESSAGE(last < share * first, "loss went from ", first, " to ", last);
}

// Runs a method whole and in three sittings; returns the losses of the whole run.
std::vector<double> check_resumes(const std::string& folder, const std::function<std::unique_ptr<Method>()>& make) {
  const std::string whole = folder + "-whole", parts = folder + "-parts";
  pretrain(*make(), {.out = whole, .quiet = true});
  CHECK(pretrain(*make(), {.out = parts, .quiet = true, .stop_after = 3}).interrupted);
  CHECK(pretrain(*method_of_run(parts), {.resume = parts, .quiet = true, .stop_after = 4}).interrupted);
  const PretrainResult result = pretrain(*method_of_run(parts), {.resume = parts, .quiet = true});
  CHECK_FALSE(result.interrupted);
  CHECK(same_bits(whole, parts));
  CHECK(read_text(whole + "/metrics.csv") == read_text(parts + "/metrics.csv"));
  return column_loss(whole);
}

}  // namespace

TEST_CASE("every method: learns one batch") {
  for (const MethodEntry& entry : list_methods())
    for (DType dtype : {DType::f32, DType::bf16}) check_learns(tiny_method(entry.name, dtype), 60, 0.7);
}

TEST_CASE("every method on cuda: learns one batch" * doctest::skip(without_cuda)) {
  for (const MethodEntry& entry : list_methods())
    check_learns(tiniest_method(entry.name, Device::cuda, DType::bf16), 15, 1);
}

TEST_CASE("every method: an interrupted run resumes bit for bit, and the loss falls") {
  const TemporaryFolder scratch;
  for (const MethodEntry& entry : list_methods()) {
    CAPTURE(entry.name);
    const std::vector<double> losses = check_resumes(scratch / entry.name, [&] { return tiny_method(entry.name); });
    // A loss that is the sum of what is to be learned and of its target's entropy (kl) may rise with the latter.
    const std::string metrics = read_text(scratch / entry.name + "-whole/metrics.csv");
    // So may one against a queue, while keys that differ little replace the random rows that it begins with.
    if (metrics.find(",kl,") == std::string::npos && !has_queue(scratch / entry.name + "-whole"))
      CHECK(losses.back() < losses.front());
  }
}

TEST_CASE("every method on cuda: an interrupted run resumes bit for bit" * doctest::skip(without_cuda)) {
  const TemporaryFolder scratch;
  for (const MethodEntry& entry : list_methods()) {
    CAPTURE(entry.name);
    check_resumes(scratch / entry.name, [&] { return tiniest_method(entry.name, Device::cuda); });
  }
}

TEST_CASE("every method: threads of the loader and of the kernels do not matter, seeds do") {
  const TemporaryFolder scratch;
  for (const MethodEntry& entry : list_methods()) {
    CAPTURE(entry.name);
    const auto run = [&](const std::string& folder, int64_t seed, int threads) {
      const Threads team(threads);
      std::unique_ptr<Method> method = tiny_method(entry.name);
      method->run.seed = seed;
      method->run.loader_threads = threads;
      pretrain(*method, {.out = scratch / folder, .quiet = true, .stop_after = 3});
      return scratch / folder;
    };
    const std::string one = run(entry.name + "-1", 1, 1), four = run(entry.name + "-4", 1, 4);
    const std::string other = run(entry.name + "-seed", 2, 1);
    CHECK(same_bits(one, four));
    CHECK_FALSE(same_bits(one, other));
  }
}

}  // namespace gestalt::test
