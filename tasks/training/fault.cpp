// The steps since the last checkpoint once more, op by op.
#include "tasks/training/fault.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "engine/run/files.h"
#include "engine/run/json.h"
#include "engine/run/run_folder.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/random.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/run.h"
#include "tasks/training/training.h"

namespace gestalt {
namespace {

struct Fault {
  int64_t step = 0;        // the update that was being made, from 1
  int64_t checkpoint = 0;  // the step that the search began from
  std::string what;        // the op, by its error
  std::vector<int32_t> samples;
};

class FiniteCheck {
 public:
  FiniteCheck() { set_finite_check(true); }
  ~FiniteCheck() { set_finite_check(false); }
};

std::vector<int32_t> samples_of(Feed& feed, int64_t step, int64_t batches) {
  PhaseClock clock;
  std::vector<int32_t> all;
  for (int64_t i = 0; i < batches; ++i) {
    const Batch batch = feed.at(step * batches + i, clock);
    if (!batch.samples) return {};
    const Tensor here = batch.samples.to(Device::cpu);
    all.insert(all.end(), here.data<int32_t>(), here.data<int32_t>() + here.count());
  }
  return all;
}

std::optional<Fault> replay(const SeenFault& seen) {
  const std::unique_ptr<Method> method = method_of_run(seen.folder);
  method->run.graph = false;  // a captured step cannot be looked into
  const std::unique_ptr<Feed> feed = method->open();
  Random random(static_cast<uint64_t>(method->run.seed));
  method->build(random);
  PhaseClock clock;
  Training training(*method, *feed, clock);
  Fault fault;
  fault.checkpoint = load_checkpoint(seen.folder, training).state.step;
  const FiniteCheck on;
  while (training.steps() < seen.step) {
    fault.step = training.steps() + 1;
    try {
      training.step();
    } catch (const Error& error) { fault.what = error.what(); }
    if (fault.what.empty() && !std::isfinite(training.gradient_norm())) fault.what = "the gradient's norm";
    if (fault.what.empty()) continue;
    fault.samples = samples_of(*feed, fault.step - 1, method->run.accumulate);
    return fault;
  }
  return {};
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(fmt::format("{}", value)); }

}  // namespace

std::string find_fault(const SeenFault& seen, const std::function<void(const std::string&)>& say) {
  try {
    say("looking for the first op that went wrong: the steps since the last checkpoint are made again");
    const std::optional<Fault> fault = replay(seen);
    if (!fault) return "; made again from the last checkpoint, all of it was finite";
    const std::string began = fmt::format(". It began in step {}: {}", fault->step, fault->what);
    if (!seen.saved) return began;
    const CheckpointHeader header = read_checkpoint_header(seen.folder);
    const Json record{{"seen_after_step", seen.step},
                      {"loss", number(seen.loss)},
                      {"gradient_norm", number(seen.norm)},
                      {"step", fault->step},
                      {"what", fault->what},
                      {"checkpoint_step", fault->checkpoint},
                      {"seed", header.fields.value("seed", int64_t{0})},
                      {"samples", fault->samples}};
    const std::string path = seen.folder + "/" + RunFolder::fault;
    write_file_atomically(path, record.dump(1) + "\n");
    return fmt::format("{} ({} has its samples)", began, path);
  } catch (const std::exception& error) { return fmt::format("; where it began could not be found: {}", error.what()); }
}

}  // namespace gestalt
