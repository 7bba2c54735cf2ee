// The training loop, its records and its checkpoints.
#include "tasks/training/pretrain.h"

#include <omp.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/run/progress.h"
#include "engine/run/run_folder.h"
#include "engine/run/signals.h"
#include "engine/tensor/allocator.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/device_memory.h"
#include "kernels/launch.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/spread.h"
#include "tasks/training/train_step.h"

namespace gestalt {
namespace {

constexpr const char* checkpoint_file = "checkpoint.safetensors";
constexpr int64_t log_steps = 50;  // steps between rows of metrics.csv within an epoch

const std::vector<std::string> metrics_columns{"step",          "epoch",       "loss",           "lr",
                                               "gradient_norm", "feature_std", "effective_rank", "probe"};
const std::vector<std::string> timing_columns{"step",        "seconds",      "items_per_second",
                                              "data_ms",     "augment_ms",   "forward_ms",
                                              "backward_ms", "optimizer_ms", "peak_memory_mib"};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

nlohmann::ordered_json config_of(Task& task) {
  JsonWriter writer;
  task.fields(writer);
  nlohmann::ordered_json config{{"task", task.name()}};
  config.update(writer.object);
  return config;
}

// One run: what must survive from step to step, and what happens in, between and after steps.
class Run {
 public:
  Run(Task& task, const PretrainSettings& settings);
  PretrainResult train();

 private:
  void step();
  void flush_losses();
  void log_row();
  void guard_against_collapse(double spread);
  void probe();
  void save();
  void say(const std::string& text) {
    if (progress_) progress_->line(text);
  }
  bool at_epoch_end() const { return state_.step % steps_per_epoch_ == 0; }

  Task& task_;
  const PretrainSettings& settings_;
  RunFolder folder_;
  std::unique_ptr<Feed> feed_;
  std::optional<ParameterArena> arena_;
  std::optional<Optimizer> optimizer_;
  std::optional<MetricsFile> metrics_, timing_;
  Schedule schedule_;
  RunState state_;
  int64_t steps_per_epoch_ = 1, total_steps_ = 1;
  double seconds_before_ = 0;  // of earlier sittings
  Clock::time_point start_ = Clock::now(), last_save_ = start_;
  PhaseClock clock_{phase_names};
  std::optional<ProgressLine> progress_;
  std::optional<TrainStep> train_;
  std::vector<Tensor> losses_;  // of steps since they were last read from the device
  Tensor features_;             // of the last step
  double last_loss_ = 0;
  std::vector<Metric> probed_;
  bool probe_pending_ = false;
  int64_t collapsed_rows_ = 0;  // in a row
  bool collapsed_ = false;
  int64_t row_steps_ = 0;
  Clock::time_point row_start_ = start_;
};

Run::Run(Task& task, const PretrainSettings& settings)
    : task_(task),
      settings_(settings),
      folder_(settings.resume.empty() ? RunFolder::create(settings.out, task.name())
                                      : RunFolder::resume(settings.resume)) {
  const RunOptions& options = task.run;
  check(options.batch >= 1 && options.epochs >= 0 && options.steps >= 0 && options.accumulate >= 1,
        "[pretrain] got --batch {}, --epochs {}, --steps {}, --accumulate {}, expected 1, 0, 0 and 1 or more",
        options.batch, options.epochs, options.steps, options.accumulate);
  if (options.threads > 0) omp_set_num_threads(static_cast<int>(options.threads));
  set_finite_check(settings.check_finite);
  feed_ = task.open();
  Random random(static_cast<uint64_t>(options.seed));
  task.build(random);
  arena_.emplace(task, options.resolved_device(), options.resolved_dtype());
  optimizer_.emplace(*arena_, task.optimizer);

  steps_per_epoch_ = feed_->steps_per_epoch() / options.accumulate;
  check(steps_per_epoch_ >= 1, "[pretrain] got {} batches an epoch for --accumulate {}; use a smaller one",
        feed_->steps_per_epoch(), options.accumulate);
  total_steps_ = options.steps > 0 ? options.steps : options.epochs * steps_per_epoch_;
  schedule_ = rate_schedule(task.optimizer, options.batch * options.accumulate, steps_per_epoch_, total_steps_);

  if (settings.resume.empty()) {
    folder_.write_config(config_of(task));
    metrics_.emplace(folder_ / "metrics.csv", metrics_columns);
    timing_.emplace(folder_ / "timing.csv", timing_columns);
  } else {
    state_ = load_checkpoint(folder_ / checkpoint_file, task, *arena_, *optimizer_);
    remove_unfinished_files(folder_.path());
    metrics_.emplace(folder_ / "metrics.csv", metrics_columns, state_.metrics_bytes);
    timing_.emplace(folder_ / "timing.csv", timing_columns, state_.timing_bytes);
    seconds_before_ = state_.seconds;
  }
  task.prepare(*arena_);
  train_.emplace(task, *arena_, *optimizer_, clock_, options.graph && !settings.check_finite);
  if (!settings.quiet)
    progress_.emplace(ProgressPlan{state_.step, total_steps_, steps_per_epoch_,
                                   feed_->items_per_step() * options.accumulate, feed_->item()});
  say(fmt::format("{} on {}", task.name(), feed_->describe()));
  if (options.device == "auto" && kernels::built_with_cuda && !cuda_report().found)
    say(cuda_report().text + "; running on the CPU");
  if (const std::string problems = feed_->problems(); !problems.empty()) say(problems);
  say(fmt::format("{:.2f} M parameters, {} on {}, {} steps ({:.4g} epochs of {}), run folder {}",
                  static_cast<double>(parameter_count(task)) / 1e6, name(options.resolved_dtype()),
                  name(options.resolved_device()), total_steps_,
                  static_cast<double>(total_steps_) / static_cast<double>(steps_per_epoch_), steps_per_epoch_,
                  folder_.path()));
  if (state_.step > 0) say(fmt::format("resumed at step {}", state_.step));
}

void Run::step() {
  const int64_t parts = task_.run.accumulate, first = state_.step * parts;
  const StepInfo info{state_.step, total_steps_, static_cast<uint64_t>(first)};
  train_->begin(info);
  for (int64_t batch = first; batch < first + parts; ++batch) {
    const Inputs inputs = feed_->at(batch, clock_);
    const LossOutput out = train_->accumulate(inputs, {state_.step, total_steps_, static_cast<uint64_t>(batch)});
    features_ = out.features;
    losses_.push_back(out.loss);
  }
  train_->finish(info, schedule_.at(state_.step));
  clock_.end_step();
  ++state_.step;
  ++row_steps_;
}

// Reads the losses that are still on the device.
void Run::flush_losses() {
  for (const Tensor& loss : losses_) {
    last_loss_ = loss.item();
    state_.loss_sum += last_loss_;
    ++state_.loss_count;
  }
  losses_.clear();
}

void Run::log_row() {
  flush_losses();
  const double loss = state_.loss_sum / static_cast<double>(std::max<int64_t>(1, state_.loss_count));
  const double norm = optimizer_->gradient_norm();
  std::vector<std::pair<std::string, double>> row{
      {"step", static_cast<double>(state_.step)},
      {"epoch", static_cast<double>(state_.step) / static_cast<double>(steps_per_epoch_)},
      {"loss", loss},
      {"lr", schedule_.at(state_.step - 1)},
      {"gradient_norm", norm}};
  if (features_ && features_.dim(0) > 1) {
    const Spread s = spread(features_, 256);
    row.push_back({"feature_std", s.std});
    row.push_back({"effective_rank", s.effective_rank});
    guard_against_collapse(s.std);
  }
  if (probe_pending_ && !probed_.empty()) row.push_back({"probe", probed_[0].value});
  probe_pending_ = false;
  metrics_->append(row);
  state_.loss_sum = 0;
  state_.loss_count = 0;
  check(std::isfinite(loss) && std::isfinite(norm),
        "[pretrain] the loss ({}) or the gradient's norm ({}) is not finite at step {}; the last checkpoint in {} is "
        "good. Try a smaller --lr, --clip 1 or --dtype f32; --check-finite names the first op that goes wrong",
        loss, norm, state_.step, folder_.path());

  const auto phase = [&](Phase p) { return clock_.milliseconds_per_step(static_cast<size_t>(p)); };
  const double per_step = static_cast<double>(feed_->items_per_step() * task_.run.accumulate);
  state_.seconds = seconds_before_ + seconds_since(start_);
  timing_->append(
      {{"step", static_cast<double>(state_.step)},
       {"seconds", state_.seconds},
       {"items_per_second", per_step * static_cast<double>(row_steps_) / seconds_since(row_start_)},
       {"data_ms", phase(Phase::data)},
       {"augment_ms", phase(Phase::augment)},
       {"forward_ms", phase(Phase::forward)},
       {"backward_ms", phase(Phase::backward)},
       {"optimizer_ms", phase(Phase::optimizer)},
       {"peak_memory_mib", static_cast<double>(allocator_stats(task_.run.resolved_device()).peak) / 1048576}});
  row_start_ = Clock::now();
  row_steps_ = 0;
}

// Says once that features have become alike; one odd batch is no collapse, two rows of metrics.csv are.
void Run::guard_against_collapse(double spread) {
  collapsed_rows_ = spread < task_.collapsed_spread() ? collapsed_rows_ + 1 : 0;
  if (collapsed_rows_ < 2 || collapsed_) return;
  collapsed_ = true;
  const std::string what = fmt::format(
      "different images get nearly the same features (spread {:.4f}, where 1 is even and 0 is one point)", spread);
  say(fmt::format("warning: COLLAPSE at step {}: {}, so nothing is learned; {}", state_.step, what,
                  task_.collapse_cure()));
}

void Run::probe() {
  probed_ = task_.probe();
  probe_pending_ = true;
  for (const Metric& m : probed_)
    say(fmt::format("epoch {}: {} {:.4g} ({})", state_.step / steps_per_epoch_, m.name, m.value, m.protocol));
  task_.write_pictures(folder_.path(), state_.step / steps_per_epoch_);
}

void Run::save() {
  flush_losses();
  state_.seconds = seconds_before_ + seconds_since(start_);
  state_.metrics_bytes = metrics_->bytes();
  state_.timing_bytes = timing_->bytes();
  save_checkpoint(folder_ / checkpoint_file, task_, *optimizer_, state_);
  last_save_ = Clock::now();
}

PretrainResult Run::train() {
  StopSignal stop;
  const int64_t first = state_.step;
  const auto interrupted = [&] {
    return stop.requested() || (settings_.stop_after > 0 && state_.step - first >= settings_.stop_after);
  };
  if (state_.step == 0) save();  // so that a run can be resumed whenever it is killed
  while (state_.step < total_steps_ && !interrupted()) {
    step();
    if (progress_ && progress_->due(state_.step)) {
      flush_losses();
      progress_->update(state_.step, last_loss_, clock_);
    }
    const int64_t every = task_.run.probe_every;
    const bool last = state_.step == total_steps_;
    if (last || (at_epoch_end() && every > 0 && state_.step / steps_per_epoch_ % every == 0)) probe();
    if (last || at_epoch_end() || state_.step % steps_per_epoch_ % log_steps == 0) {
      log_row();
      clock_.reset();
    }
    if (seconds_since(last_save_) > 60 * task_.run.checkpoint_minutes) save();
  }
  save();
  PretrainResult result{.folder = folder_.path(),
                        .encoder_file = {},
                        .metrics = probed_,
                        .steps = state_.step,
                        .seconds = state_.seconds,
                        .interrupted = state_.step < total_steps_,
                        .signal = stop.signal(),
                        .collapsed = collapsed_};
  if (!result.interrupted) result.encoder_file = task_.export_to(folder_.path());
  return result;
}

}  // namespace

PretrainResult pretrain(Task& task, const PretrainSettings& settings) { return Run(task, settings).train(); }

std::unique_ptr<Task> task_of_run(const std::string& folder) {
  const std::string path = folder + "/" + checkpoint_file;
  check(std::filesystem::exists(path), "[resume] found no {}; expected the folder of a run that was started", path);
  const CheckpointHeader header = read_checkpoint_header(path);
  std::unique_ptr<Task> task = find_task(header.task).make();
  JsonReader reader(path, header.fields);
  task->fields(reader);
  reader.finish();
  return task;
}

}  // namespace gestalt
