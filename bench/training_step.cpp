// The training step of each case, as Training makes it, from inputs in memory or from the method's own feed.
#include <array>
#include <chrono>

#include "bench/cases.h"
#include "bench/workload.h"
#include "engine/run/fields_text.h"
#include "tasks/training/training.h"

namespace gestalt::bench {
namespace {

// Another feed's first batch, again and again.
class SameBatch : public Feed {
 public:
  explicit SameBatch(Feed& from)
      : steps_per_epoch_(from.steps_per_epoch()), items_(from.items_per_step()), item_(from.item()) {
    PhaseClock unread;
    batch_ = from.at(0, unread);
  }
  Batch at(int64_t, PhaseClock& clock) override {
    clock.enter(Phase::data);
    return batch_;
  }
  int64_t steps_per_epoch() const override { return steps_per_epoch_; }
  int64_t items_per_step() const override { return items_; }
  std::string item() const override { return item_; }
  std::string describe() const override { return "one batch in memory"; }

 private:
  Batch batch_;
  int64_t steps_per_epoch_, items_;
  std::string item_;
};

// Sums the time that losses take in each phase, to tell them from the rest of forward and backward.
class LossTimer : public kernels::LaunchObserver {
 public:
  explicit LossTimer(const PhaseClock& clock) : clock_(clock) {}
  void begin(const kernels::LaunchInfo& launch) override {
    on_ = launch.cost().loss;
    if (!on_) return;
    synchronize(launch.stream.device);
    start_ = std::chrono::steady_clock::now();
  }
  void end(Stream stream) override {
    if (!on_) return;
    synchronize(stream.device);
    seconds_[static_cast<size_t>(clock_.current())] +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  double milliseconds(Phase phase) const { return seconds_[static_cast<size_t>(phase)] * 1e3; }
  void reset() { seconds_.fill(0); }

 private:
  const PhaseClock& clock_;
  std::array<double, phase_names.size()> seconds_{};
  std::chrono::steady_clock::time_point start_;
  bool on_ = false;
};

void wait_for_cuda() { synchronize(Device::cuda); }

// The case's method, with what the command line sets.
std::unique_ptr<Method> configured(const TrainingCase& which, const WorkloadOptions& options) {
  GivenValues values = parse_values("bench/cases/" + which.name + ".conf", which.text);
  const auto named = values.extract("method");
  check(!named.empty(), "[case] {} has no line 'method = NAME'", which.name);
  std::unique_ptr<Method> method = make_method(named.mapped().text);
  const auto set = [&](const char* name, const std::string& text, const char* place) { values[name] = {text, place}; };
  if (options.batch > 0) set("batch", std::to_string(options.batch), "--batch");
  if (options.size > 0)
    set(method->modality() == Modality::text ? "context" : "size", std::to_string(options.size), "--size");
  for (const std::string& field : options.fields)
    for (const auto& [name, given] : parse_values("--set", field)) values[name] = {given.text, "--set"};
  set("device", std::string(name(options.device)), "--device");
  set("dtype", std::string(name(options.dtype)), "--dtype");
  if (!options.graph || options.arrows) set("graph", "false", "launch by launch");
  TextReader reader(std::move(values));
  method->fields(reader);
  reader.finish();
  method->run.steps = 1'000'000'000'000;  // rates stay where they begin
  return method;
}

class TrainingStep : public Workload {
 public:
  TrainingStep(const TrainingCase& which, const WorkloadOptions& options);
  void enqueue() override;
  std::string phase() const override { return phase_names[static_cast<size_t>(clock_.current())]; }
  std::vector<std::pair<std::string, double>> arrows() override;
  double loss() const override { return loss_.item(); }

 private:
  std::unique_ptr<Method> method_;
  std::unique_ptr<Feed> feed_;
  PhaseClock clock_;
  std::unique_ptr<Training> training_;
  Tensor loss_;
  bool arrows_, timed_ = false;
  LossTimer loss_timer_{clock_};
  int64_t timed_steps_ = 0;
};

TrainingStep::TrainingStep(const TrainingCase& which, const WorkloadOptions& options)
    : Workload(options),
      method_(configured(which, options)),
      feed_(method_->open()),
      clock_(options.arrows && device == Device::cuda ? &wait_for_cuda : nullptr),
      arrows_(options.arrows) {
  Random random(static_cast<uint64_t>(method_->run.seed));
  method_->build(random);
  if (!options.feed) feed_ = std::make_unique<SameBatch>(*feed_);
  training_ = std::make_unique<Training>(*method_, *feed_, clock_);
  const Wants wants = method_->wants();
  batch = method_->run.batch;
  size = wants.modality == Modality::text ? wants.context : wants.groups.at(0).size;
  parameters = parameter_count(*method_);
  items = static_cast<double>(feed_->items_per_step() * method_->run.accumulate);
  item = feed_->item();
}

void TrainingStep::enqueue() {
  const std::unique_ptr<Observing> observing = timed_ ? std::make_unique<Observing>(loss_timer_) : nullptr;
  loss_ = training_->step().back().at(0).second;
  ++timed_steps_;
}

std::vector<std::pair<std::string, double>> TrainingStep::arrows() {
  std::vector<std::pair<std::string, double>> all;
  if (timed_ && timed_steps_ > 0) {
    const auto whole = [&](Phase p) { return clock_.milliseconds_per_step(p); };
    const auto loss = [&](Phase p) { return loss_timer_.milliseconds(p) / static_cast<double>(timed_steps_); };
    all = {{"loader", whole(Phase::data)},
           {"augment", whole(Phase::augment)},
           {"forward", whole(Phase::forward) - loss(Phase::forward)},
           {"loss", loss(Phase::forward) + loss(Phase::backward)},
           {"backward", whole(Phase::backward) - loss(Phase::backward)},
           {"optimizer", whole(Phase::optimizer)}};
  }
  clock_.reset();
  loss_timer_.reset();
  timed_steps_ = 0;
  timed_ = arrows_;
  return all;
}

}  // namespace

std::vector<WorkloadEntry> training_workloads() {
  std::vector<WorkloadEntry> entries;
  for (const TrainingCase& which : training_cases())
    entries.push_back({which.name, which.summary,
                       [&which](const WorkloadOptions& o) { return std::make_unique<TrainingStep>(which, o); }});
  return entries;
}

}  // namespace gestalt::bench
