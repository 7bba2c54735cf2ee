// The training loop, its records and its checkpoints.
#include "tasks/training/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>

#include "engine/run/files.h"
#include "engine/run/progress.h"
#include "engine/run/run_folder.h"
#include "engine/run/signals.h"
#include "engine/tensor/allocator.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/device_memory.h"
#include "kernels/cpu/team.h"
#include "kernels/launch.h"
#include "tasks/training/best.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/collapse.h"
#include "tasks/training/estimate.h"
#include "tasks/training/fault.h"
#include "tasks/training/records.h"
#include "tasks/training/resume.h"
#include "tasks/training/spread.h"

namespace gestalt {
namespace {

constexpr int64_t log_steps = 50;  // steps between rows of metrics.csv within an epoch

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

// One run: what must survive from step to step, and what happens in, between and after steps.
class Run {
 public:
  Run(Method& method, const PretrainSettings& settings);
  PretrainResult train();

 private:
  void open_data();
  void begin();
  void go_on();
  DataIdentity identity() const;
  void note_changes(const CheckpointHeader& began);
  void compare_data(int64_t step);
  void say_what_runs();
  void step();
  void read_scalars();
  MetricsRow make_row();
  MetricsRow write_row(MetricsRow row);
  void keep_best(const MetricsRow& row);
  void find_best();
  void log_timing();
  void measure_spread(MetricsRow& row);
  void probe();
  void save();
  std::string finish();
  [[noreturn]] void fail_not_finite(double loss, double norm);
  void say(const std::string& text) {
    if (progress_) progress_->line(text);
  }
  std::vector<std::string> probe_columns() const {
    return method_.probe ? method_.probe->columns() : std::vector<std::string>();
  }
  bool at_epoch_end() const { return training_->steps() % training_->steps_per_epoch() == 0; }
  double epochs() const {
    return static_cast<double>(training_->steps()) / static_cast<double>(training_->steps_per_epoch());
  }
  int64_t epoch() const { return training_->steps() / training_->steps_per_epoch(); }

  Method& method_;
  const PretrainSettings& settings_;
  std::optional<RunFolder> folder_;
  std::unique_ptr<Feed> feed_;
  PhaseClock clock_;
  std::optional<Training> training_;
  std::optional<Records> records_;
  RunOrigin origin_;
  RunState state_;               // as it was resumed, and what was summed since the last row
  int64_t resumed_at_ = 0;       // step
  int64_t last_saved_ = 0;       // the same of the last checkpoint
  bool fields_changed_ = false;  // in this resume; from the next checkpoint on they are the run's
  double seconds_before_ = 0;    // of earlier sittings
  Clock::time_point start_ = Clock::now(), last_save_ = start_;
  std::vector<std::string> notes_;  // to be said at the beginning
  std::optional<ProgressLine> progress_;
  std::vector<Training::Scalars> unread_;  // of batches since they were last read from the device
  double last_loss_ = 0;
  Probe::Outlook outlook_;
  BestBy best_by_;
  std::vector<Metric> probed_;
  std::string unmeasured_;  // why the last probe failed, if it did
  bool probe_pending_ = false;
  CollapseGuard guard_;
  int64_t row_steps_ = 0;
  Clock::time_point row_start_ = start_;
};

Run::Run(Method& method, const PretrainSettings& settings) : method_(method), settings_(settings) {
  const RunOptions& options = method.run;
  check_fields(method);
  replace_places(method, expand_home);
  if (settings.resume.empty())
    RunFolder::check_free(settings.out);
  else
    folder_.emplace(RunFolder::resume(settings.resume));
  if (options.threads > 0) kernels::cpu::set_team_size(static_cast<int>(options.threads));
  set_finite_check(settings.check_finite);
  open_data();
  if (method.probe) outlook_ = method.probe->outlook(method);
  check(outlook_.possible || !settings.must_measure, "[pretrain] got --report, but {}",
        outlook_.note.empty() ? "there is nothing to measure on" : outlook_.note);
  best_by_ = gestalt::best_by(method);
  check(outlook_.possible || options.keep_best != "probe",
        "[pretrain] got --keep-best probe, but {}; --keep-best rank needs no labels",
        outlook_.note.empty() ? "there is nothing to measure on" : outlook_.note);
  if (!outlook_.note.empty())
    notes_.push_back(outlook_.note + (outlook_.possible ? "" : "; training goes on without being measured"));
  if (!settings.chosen.empty())
    notes_.insert(notes_.begin(), fmt::format("{}: {}", settings.chosen, measure_steps(method, *feed_).text()));
  Random random(static_cast<uint64_t>(options.seed));
  method.beginning = settings.resume.empty() ? &notes_ : nullptr;
  method.build(random);
  method.beginning = nullptr;
  training_.emplace(method, *feed_, clock_);
  if (settings.resume.empty())
    begin();
  else
    go_on();
  settings.profile.check_within(training_->steps(), training_->total_steps(), options.resolved_device());
  records_.emplace(*folder_);
  records_->go_on(state_.step, state_.metrics_bytes, state_.timing_bytes);
  if (options.tensorboard) records_->open_events(state_.step);
  if (!settings.quiet)
    progress_.emplace(ProgressPlan{training_->steps(), training_->total_steps(), training_->steps_per_epoch(),
                                   feed_->items_per_step() * options.accumulate, feed_->item()});
  say_what_runs();
}

void Run::open_data() {
  try {
    feed_ = method_.open();
  } catch (const Error& error) {
    if (settings_.resume.empty()) throw;
    fail("{}; if the data have moved, --data (of byte pairs --bpe) says where they are", error.what());
  }
}

void Run::begin() {
  std::error_code ignored;
  origin_ = {.data = identity(), .folder = std::filesystem::current_path(ignored).string()};
  folder_.emplace(RunFolder::create(settings_.out, method_.name()));
  folder_->write_config(config_of(method_));
}

void Run::go_on() {
  const CheckpointHeader began = read_checkpoint_header(folder_->path());
  origin_ = began.origin;
  std::error_code ignored;
  origin_.folder = std::filesystem::current_path(ignored).string();  // method_of_run() has made others absolute
  const nlohmann::ordered_json written = folder_->read_config();
  if (written.is_null()) notes_.push_back(*folder_ / RunFolder::config + " is missing; it is written anew");
  if (!written.is_null()) check_config(*folder_ / RunFolder::config, written, began.fields, method_);
  fields_changed_ = written != config_of(method_);
  note_changes(began);
  compare_data(began.state.step);
  const CheckpointHeader header = load_checkpoint(folder_->path(), *training_);
  if (!header.note.empty()) notes_.push_back(header.note);
  state_ = header.state;
  resumed_at_ = last_saved_ = state_.step;
  check(state_.step <= training_->total_steps() || !origin_.changes.empty(),
        "[resume] {} stands at step {} of {}; its record is damaged", header.path, state_.step,
        training_->total_steps());
  seconds_before_ = state_.seconds;
  find_best();
}

// What the user asked to be otherwise from here on.
void Run::note_changes(const CheckpointHeader& began) {
  const nlohmann::ordered_json config = config_of(method_);
  for (const auto& [name, value] : began.fields.items()) {
    if (!may_be_changed(name) || config.at(name) == value) continue;
    origin_.changes.push_back(
        fmt::format("from step {}: {} {} instead of {}", began.state.step, name, config.at(name).dump(), value.dump()));
    notes_.push_back(origin_.changes.back());
  }
}

DataIdentity Run::identity() const {
  DataIdentity all = feed_->identity();
  for (auto& entry : method_.held_out_identity()) all.push_back(std::move(entry));
  return all;
}

void Run::compare_data(int64_t step) {
  const DataIdentity now = identity();
  const std::string differences = differences_of(origin_.data, now);
  if (differences.empty()) return;
  const std::string text = fmt::format("{} is not what the run began with: {}", method_.run.data, differences);
  check(settings_.allow_other_data,
        "[resume] {}. Name the data it began with by --data, begin a new run, or give --allow-other-data to go on all "
        "the same",
        text);
  origin_.changes.push_back(fmt::format("from step {}: {}", step, text));
  origin_.data = now;
  fields_changed_ = true;
  notes_.push_back("warning: " + text);
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
                  training_->steps_per_epoch(), folder_->path()));
  for (const std::string& note : notes_) say(note);
  if (training_->warmup_steps() > 0 && training_->warmup_steps() >= training_->total_steps())
    say(fmt::format("warning: the warm-up takes {} steps and the run {}: --lr is not reached",
                    training_->warmup_steps(), training_->total_steps()));
  if (training_->steps() == 0) return;
  say(fmt::format("resumed at step {}", training_->steps()));
  if (!origin_.changes.empty() && training_->steps() < training_->total_steps())
    say(fmt::format("the learning rate goes on at {:.4g}", training_->next_rate()));
}

void Run::step() {
  const ProfiledStep profiled(method_.name(), training_->steps() + 1, settings_.profile);
  for (Training::Scalars& batch : training_->step()) unread_.push_back(std::move(batch));
  ++row_steps_;
  if (settings_.on_step) settings_.on_step(training_->steps(), training_->total_steps());
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

// All of a row but the probe's cells, which are its last.
MetricsRow Run::make_row() {
  read_scalars();
  const double batches = static_cast<double>(std::max<int64_t>(1, state_.batches));
  const double norm = training_->gradient_norm();
  MetricsRow row{{"step", static_cast<double>(training_->steps())}, {"epoch", epochs()}};
  double loss = 0;
  for (auto& [name, sum] : state_.sums) {
    if (name == "loss") loss = sum / batches;
    row.push_back({name, sum / batches});
    sum = 0;
  }
  state_.batches = 0;
  row.push_back({"lr", training_->rate()});
  row.push_back({"gradient_norm", norm});
  if (method_.optimizer.skip_outliers > 0) row.push_back({"skipped", static_cast<double>(training_->skipped())});
  measure_spread(row);
  if (const std::string collapse = guard_.look_at(row, method_); !collapse.empty()) say(collapse);
  for (const std::string& column : probe_columns()) row.push_back({column, {}});
  if (std::isfinite(loss) && std::isfinite(norm)) return row;
  write_row(std::move(row));
  fail_not_finite(loss, norm);
}

// Returns it with the probe's cells.
MetricsRow Run::write_row(MetricsRow row) {
  const size_t cells = probe_pending_ ? probed_.size() : 0, first = row.size() - probe_columns().size();
  for (size_t i = 0; i < cells; ++i) row[first + i].second = probed_[i].value;
  probe_pending_ = false;
  if (const std::string note = records_->metrics(row); !note.empty()) say(note);
  log_timing();
  if (settings_.on_row) settings_.on_row(row);
  return row;
}

// The checkpoint comes first: what is in RUN/best is never of a step that a resumed run has yet to make.
void Run::keep_best(const MetricsRow& row) {
  const auto cell = std::find_if(row.begin(), row.end(), [&](const auto& c) { return c.first == best_by_.column; });
  if (cell == row.end() || !cell->second || !std::isfinite(*cell->second)) return;
  if (!best_by_.improves(*cell->second, state_.best)) return;
  state_.best = {training_->steps(), *cell->second};
  save();
  try {
    write_best(method_, folder_->path(), state_.best, epochs(), best_by_);
  } catch (const std::exception& error) { say(fmt::format("warning: the best encoder is not kept: {}", error.what())); }
}

// What was killed between the two is made up for.
void Run::find_best() {
  if (best_by_.column.empty() || state_.best.step == 0 || step_of_best(folder_->path()) == state_.best.step) return;
  if (state_.best.step == state_.step) return write_best(method_, folder_->path(), state_.best, epochs(), best_by_);
  notes_.push_back(fmt::format("{}/{} has not the encoder of step {}, the best so far; it is chosen anew from here on",
                               folder_->path(), RunFolder::best, state_.best.step));
  state_.best = {};
}

void Run::fail_not_finite(double loss, double norm) {
  const SeenFault seen{folder_->path(), training_->steps(), loss, norm, last_saved_ > 0};
  training_.reset();  // its memory is needed to look closer
  feed_.reset();
  const std::string found = find_fault(seen, [&](const std::string& text) { say(text); });
  fail(
      "[pretrain] the loss ({}) or the gradient's norm ({}) is not finite at step {}{}. {} with a smaller --lr, --clip "
      "1 "
      "or --dtype f32",
      loss, norm, seen.step, found,
      seen.saved
          ? fmt::format(
                "The last checkpoint is finite: go on with 'gestalt pretrain {0} --resume {1}' and a smaller --lr "
                "or --clip 1; should that fail too, put an earlier one in its place ({1}/{2}, or one of --keep); "
                "or begin anew",
                method_.name(), seen.folder, RunFolder::previous_checkpoint)
          : "Begin anew");
}

void Run::log_timing() {
  const double items = static_cast<double>(feed_->items_per_step() * method_.run.accumulate * row_steps_);
  state_.seconds = seconds_before_ + seconds_since(start_);
  MetricsRow row{{"step", static_cast<double>(training_->steps())},
                 {"seconds", state_.seconds},
                 {"items_per_second", items / seconds_since(row_start_)}};
  for (size_t i = 0; i < phase_names.size(); ++i)
    row.push_back({phase_names[i] + "_ms", clock_.milliseconds_per_step(static_cast<Phase>(i))});
  row.push_back(
      {"peak_memory_mib", static_cast<double>(allocator_stats(method_.run.resolved_device()).peak) / (1 << 20)});
  if (const std::string note = records_->timing(row); !note.empty()) say(note);
  clock_.reset();
  row_start_ = Clock::now();
  row_steps_ = 0;
}

void Run::measure_spread(MetricsRow& row) {
  const Tensor& features = training_->features();
  row.push_back({"feature_std", {}});
  row.push_back({"effective_rank", {}});
  if (!features || features.dim(0) < 2) return;
  const Spread s = spread(features, 256);
  row[row.size() - 2].second = s.std;
  row.back().second = s.effective_rank;
}

// What goes wrong in here costs a number, never the run.
void Run::probe() {
  probed_.clear();
  unmeasured_.clear();
  try {
    if (method_.probe && outlook_.possible) probed_ = method_.probe->measure(method_);
    probe_pending_ = true;
    for (const Metric& m : probed_) say(fmt::format("epoch {}: {} {:.4g} ({})", epoch(), m.name, m.value, m.protocol));
    if (const std::optional<Picture> picture = method_.held_out_picture())
      records_->picture(fmt::format("picture-{:04}", epoch()), training_->steps(), *picture);
    if (!method_.run.tensorboard) return;
    if (const std::optional<Picture> views = method_.views_picture(training_->steps()))
      records_->event_picture("views", training_->steps(), *views);
    records_->weights(training_->steps(), method_);
  } catch (const std::exception& error) {
    unmeasured_ = error.what();
    say(fmt::format("warning: epoch {} could not be measured: {}", epoch(), unmeasured_));
  }
}

void Run::save() {
  read_scalars();
  if (const double norm = training_->steps() > resumed_at_ ? training_->gradient_norm() : 0; !std::isfinite(norm))
    fail_not_finite(last_loss_, norm);
  for (const auto& [name, sum] : state_.sums)
    if (name == "loss" && !std::isfinite(sum)) fail_not_finite(last_loss_, training_->gradient_norm());
  state_.step = training_->steps();
  state_.seconds = seconds_before_ + seconds_since(start_);
  state_.metrics_bytes = records_->metrics_bytes();
  state_.timing_bytes = records_->timing_bytes();
  if (fields_changed_) folder_->write_config(config_of(method_));
  save_checkpoint(folder_->path(), method_, *training_, state_, origin_);
  if (state_.step > 0) keep_checkpoints(folder_->path(), state_.step, method_.run.keep);
  fields_changed_ = false;
  last_saved_ = state_.step;
  if (state_.step > 0) folder_->keep();
  last_save_ = Clock::now();
}

// After the last step: all that was learned is saved and exported before it is measured, and the row that waits for the
// measure is in the checkpoint. A run that ended before is measured again and nothing else.
std::string Run::finish() {
  if (training_->steps() > resumed_at_) {
    state_.row = make_row();
    save();
  }
  const std::string file = method_.export_to(folder_->path());
  folder_->keep();
  probe();
  if (state_.row.empty()) return file;
  keep_best(write_row(std::exchange(state_.row, {})));
  save();
  return file;
}

PretrainResult Run::train() {
  StopSignal stop;
  const int64_t first = training_->steps(), total = training_->total_steps(), every = method_.run.probe_every;
  const auto interrupted = [&] {
    return stop.requested() || (settings_.stop && settings_.stop()) ||
           (settings_.stop_after > 0 && training_->steps() - first >= settings_.stop_after);
  };
  if (settings_.resume.empty() || fields_changed_) save();  // so that a run can be resumed whenever it is killed
  while (training_->steps() < total && !interrupted()) {
    step();
    if (progress_ && progress_->due(training_->steps())) {
      read_scalars();
      progress_->update(training_->steps(), last_loss_, clock_);
    }
    if (training_->steps() == total) break;
    const bool measures = at_epoch_end() && every > 0 && epoch() % every == 0;
    if (measures) probe();
    if (at_epoch_end() || training_->steps() % training_->steps_per_epoch() % log_steps == 0) {
      const MetricsRow row = write_row(make_row());
      if (measures) keep_best(row);
    }
    if (seconds_since(last_save_) > 60 * method_.run.checkpoint_minutes) save();
  }
  const bool ended = training_->steps() >= total;
  std::string file;
  if (ended)
    file = finish();
  else
    save();
  folder_->keep();
  return {.folder = folder_->path(),
          .encoder_file = file,
          .metrics = probed_,
          .steps = training_->steps(),
          .seconds = state_.seconds,
          .interrupted = !ended,
          .signal = stop.signal(),
          .unmeasured = unmeasured_,
          .collapsed = guard_.collapsed(),
          .collapse_cure = guard_.collapsed() ? guard_.cure() : "",
          .best = best_by_.column.empty() ? Best{} : state_.best};
}

}  // namespace

PretrainResult pretrain(Method& method, const PretrainSettings& settings) { return Run(method, settings).train(); }

void load_run(const std::string& folder, Method& method) {
  Random random(1);
  method.build(random);
  load_weights(folder, method);
  move_to(method, method.run.resolved_device());
}

}  // namespace gestalt
