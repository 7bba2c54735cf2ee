// The training loop, its records and its checkpoints.
#include "tasks/training/run.h"

#include <omp.h>

#include <algorithm>
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

namespace gestalt {
namespace {

constexpr const char* checkpoint_file = "checkpoint.safetensors";
constexpr int64_t log_steps = 50;  // steps between rows of metrics.csv within an epoch

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

// A row of a table; a value that is not there leaves its cell empty.
using Row = std::vector<std::pair<std::string, std::optional<double>>>;
std::vector<std::string> columns_of(const Row& row) {
  std::vector<std::string> names;
  for (const auto& [name, value] : row) names.push_back(name);
  return names;
}

nlohmann::ordered_json config_of(Method& method) {
  JsonWriter writer;
  method.fields(writer);
  nlohmann::ordered_json config{{"method", method.name()}};
  config.update(writer.object);
  return config;
}

// One run: what must survive from step to step, and what happens in, between and after steps.
class Run {
 public:
  Run(Method& method, const PretrainSettings& settings);
  PretrainResult train();

 private:
  void say_what_runs();
  void step();
  void read_scalars();
  void log_row();
  void log_timing();
  void measure_spread(Row& row);
  void guard_against_collapse(const Row& row, double spread);
  void probe();
  void save();
  void say(const std::string& text) {
    if (progress_) progress_->line(text);
  }
  void append(std::optional<MetricsFile>& file, const char* name, int64_t bytes, const Row& row);
  bool at_epoch_end() const { return training_->steps() % training_->steps_per_epoch() == 0; }
  int64_t epoch() const { return training_->steps() / training_->steps_per_epoch(); }

  Method& method_;
  const PretrainSettings& settings_;
  RunFolder folder_;
  std::unique_ptr<Feed> feed_;
  PhaseClock clock_;
  std::optional<Training> training_;
  std::optional<MetricsFile> metrics_, timing_;  // from their first row on
  RunState state_;                               // as it was resumed, and what was summed since the last row
  double seconds_before_ = 0;                    // of earlier sittings
  Clock::time_point start_ = Clock::now(), last_save_ = start_;
  std::optional<ProgressLine> progress_;
  std::vector<Training::Scalars> unread_;  // of batches since they were last read from the device
  double last_loss_ = 0;
  std::vector<Metric> probed_;
  bool probe_pending_ = false;
  int64_t collapsed_rows_ = 0;  // in a row
  bool collapsed_ = false;
  int64_t row_steps_ = 0;
  Clock::time_point row_start_ = start_;
};

Run::Run(Method& method, const PretrainSettings& settings)
    : method_(method),
      settings_(settings),
      folder_(settings.resume.empty() ? RunFolder::create(settings.out, method.name())
                                      : RunFolder::resume(settings.resume)) {
  const RunOptions& options = method.run;
  options.validate();
  if (options.threads > 0) omp_set_num_threads(static_cast<int>(options.threads));
  set_finite_check(settings.check_finite);
  feed_ = method.open();
  Random random(static_cast<uint64_t>(options.seed));
  method.build(random);
  training_.emplace(method, *feed_, clock_);
  if (settings.resume.empty()) {
    folder_.write_config(config_of(method));
  } else {
    state_ = load_checkpoint(folder_ / checkpoint_file, *training_);
    remove_unfinished_files(folder_.path());
    seconds_before_ = state_.seconds;
  }
  if (!settings.quiet)
    progress_.emplace(ProgressPlan{training_->steps(), training_->total_steps(), training_->steps_per_epoch(),
                                   feed_->items_per_step() * options.accumulate, feed_->item()});
  say_what_runs();
}

void Run::say_what_runs() {
  const RunOptions& options = method_.run;
  say(fmt::format("{} on {}", method_.name(), feed_->describe()));
  if (options.device == "auto" && kernels::built_with_cuda && !cuda_report().found)
    say(cuda_report().text + "; running on the CPU");
  if (const std::string problems = feed_->problems(); !problems.empty()) say(problems);
  say(fmt::format("{:.2f} M parameters, {} on {}, {} steps ({:.4g} epochs of {}), run folder {}",
                  static_cast<double>(parameter_count(method_)) / 1e6, name(options.resolved_dtype()),
                  name(options.resolved_device()), training_->total_steps(),
                  static_cast<double>(training_->total_steps()) / static_cast<double>(training_->steps_per_epoch()),
                  training_->steps_per_epoch(), folder_.path()));
  if (training_->steps() > 0) say(fmt::format("resumed at step {}", training_->steps()));
}

void Run::step() {
  for (Training::Scalars& batch : training_->step()) unread_.push_back(std::move(batch));
  ++row_steps_;
}

// Reads the losses and terms that are still on the device.
void Run::read_scalars() {
  for (const Training::Scalars& batch : unread_) {
    for (size_t i = 0; i < batch.size(); ++i) {
      const double value = batch[i].second.item();
      if (i == 0) last_loss_ = value;
      if (state_.sums.size() <= i) state_.sums.push_back({batch[i].first, 0});
      state_.sums[i].second += value;
    }
    ++state_.batches;
  }
  unread_.clear();
}

// The file opens with its first row, when its columns are known, and goes on where a checkpoint left it.
void Run::append(std::optional<MetricsFile>& file, const char* name, int64_t bytes, const Row& row) {
  if (!file && bytes > 0)
    file.emplace(folder_ / name, columns_of(row), bytes);
  else if (!file)
    file.emplace(folder_ / name, columns_of(row));
  std::vector<std::pair<std::string, double>> values;
  for (const auto& [column, value] : row)
    if (value) values.push_back({column, *value});
  file->append(values);
}

void Run::log_row() {
  read_scalars();
  const double batches = static_cast<double>(std::max<int64_t>(1, state_.batches));
  const double norm = training_->gradient_norm();
  Row row{{"step", static_cast<double>(training_->steps())},
          {"epoch", static_cast<double>(training_->steps()) / static_cast<double>(training_->steps_per_epoch())}};
  double loss = 0;
  for (auto& [name, sum] : state_.sums) {
    if (name == "loss") loss = sum / batches;
    row.push_back({name, sum / batches});
    sum = 0;
  }
  state_.batches = 0;
  row.push_back({"lr", training_->rate()});
  row.push_back({"gradient_norm", norm});
  measure_spread(row);
  row.push_back({"probe", {}});
  if (probe_pending_ && !probed_.empty()) row.back().second = probed_[0].value;
  probe_pending_ = false;
  append(metrics_, "metrics.csv", state_.metrics_bytes, row);
  check(std::isfinite(loss) && std::isfinite(norm),
        "[pretrain] the loss ({}) or the gradient's norm ({}) is not finite at step {}; the last checkpoint in {} is "
        "good. Try a smaller --lr, --clip 1 or --dtype f32; --check-finite names the first op that goes wrong",
        loss, norm, training_->steps(), folder_.path());
  log_timing();
}

void Run::log_timing() {
  const double items = static_cast<double>(feed_->items_per_step() * method_.run.accumulate * row_steps_);
  state_.seconds = seconds_before_ + seconds_since(start_);
  Row row{{"step", static_cast<double>(training_->steps())},
          {"seconds", state_.seconds},
          {"items_per_second", items / seconds_since(row_start_)}};
  for (size_t i = 0; i < phase_names.size(); ++i)
    row.push_back({phase_names[i] + "_ms", clock_.milliseconds_per_step(static_cast<Phase>(i))});
  row.push_back(
      {"peak_memory_mib", static_cast<double>(allocator_stats(method_.run.resolved_device()).peak) / (1 << 20)});
  append(timing_, "timing.csv", state_.timing_bytes, row);
  clock_.reset();
  row_start_ = Clock::now();
  row_steps_ = 0;
}

void Run::measure_spread(Row& row) {
  const Tensor& features = training_->features();
  row.push_back({"feature_std", {}});
  row.push_back({"effective_rank", {}});
  if (!features || features.dim(0) < 2) return;
  const Spread s = spread(features, 256);
  row[row.size() - 2].second = s.std;
  row.back().second = s.effective_rank;
  guard_against_collapse(row, s.std);
}

// Says once that features have become alike; one odd batch is no collapse, two rows of metrics.csv are.
void Run::guard_against_collapse(const Row& row, double spread) {
  std::string what;
  if (spread < method_.collapsed_spread())
    what = fmt::format(
        "different images get nearly the same features (spread {:.4f}, where 1 is even and 0 is one point)", spread);
  if (const std::optional<CollapseSign> sign = method_.collapse_sign())
    for (const auto& [name, value] : row)
      if (name == sign->term && value && *value > sign->limit)
        what = fmt::format("{} ({} {:.4f}, where {} and more is a collapse)", sign->what, name, *value, sign->limit);
  collapsed_rows_ = what.empty() ? 0 : collapsed_rows_ + 1;
  if (collapsed_rows_ < 2 || collapsed_) return;
  collapsed_ = true;
  say(fmt::format("warning: COLLAPSE at step {}: {}, so nothing is learned; {}", training_->steps(), what,
                  method_.collapse_cure()));
}

void Run::probe() {
  if (method_.probe) probed_ = method_.probe->measure(method_);
  probe_pending_ = true;
  for (const Metric& m : probed_) say(fmt::format("epoch {}: {} {:.4g} ({})", epoch(), m.name, m.value, m.protocol));
  if (const std::optional<Picture> picture = method_.held_out_picture())
    write_picture(folder_ / fmt::format("picture-{:04}.png", epoch()), *picture);
}

void Run::save() {
  read_scalars();
  state_.step = training_->steps();
  state_.seconds = seconds_before_ + seconds_since(start_);
  if (metrics_) state_.metrics_bytes = metrics_->bytes();
  if (timing_) state_.timing_bytes = timing_->bytes();
  save_checkpoint(folder_ / checkpoint_file, method_, *training_, state_);
  last_save_ = Clock::now();
}

PretrainResult Run::train() {
  StopSignal stop;
  const int64_t first = training_->steps(), total = training_->total_steps(), every = method_.run.probe_every;
  const auto interrupted = [&] {
    return stop.requested() || (settings_.stop_after > 0 && training_->steps() - first >= settings_.stop_after);
  };
  if (first == 0) save();  // so that a run can be resumed whenever it is killed
  while (training_->steps() < total && !interrupted()) {
    step();
    if (progress_ && progress_->due(training_->steps())) {
      read_scalars();
      progress_->update(training_->steps(), last_loss_, clock_);
    }
    const bool last = training_->steps() == total;
    if (last || (at_epoch_end() && every > 0 && epoch() % every == 0)) probe();
    if (last || at_epoch_end() || training_->steps() % training_->steps_per_epoch() % log_steps == 0) log_row();
    if (seconds_since(last_save_) > 60 * method_.run.checkpoint_minutes) save();
  }
  save();
  PretrainResult result{.folder = folder_.path(),
                        .encoder_file = {},
                        .metrics = probed_,
                        .steps = training_->steps(),
                        .seconds = state_.seconds,
                        .interrupted = training_->steps() < total,
                        .signal = stop.signal(),
                        .collapsed = collapsed_};
  if (!result.interrupted) result.encoder_file = method_.export_to(folder_.path());
  return result;
}

}  // namespace

PretrainResult pretrain(Method& method, const PretrainSettings& settings) { return Run(method, settings).train(); }

std::unique_ptr<Method> method_of_run(const std::string& folder) {
  const std::string path = folder + "/" + checkpoint_file;
  check(std::filesystem::exists(path), "[resume] found no {}; expected the folder of a run that was started", path);
  const CheckpointHeader header = read_checkpoint_header(path);
  std::unique_ptr<Method> method = make_method(header.method);
  JsonReader reader(path, header.fields);
  method->fields(reader);
  reader.finish();
  return method;
}

void load_run(const std::string& folder, Method& method) {
  Random random(1);
  method.build(random);
  load_weights(folder + "/" + checkpoint_file, method);
  move_to(method, method.run.resolved_device());
}

}  // namespace gestalt
