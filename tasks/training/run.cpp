// The training loop, its records and its checkpoints.
#include "tasks/training/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/run/signals.h"
#include "engine/tensor/allocator.h"
#include "tasks/training/fault.h"
#include "tasks/training/one_run.h"
#include "tasks/training/resume.h"
#include "tasks/training/spread.h"

namespace gestalt {
namespace {

constexpr int64_t log_steps = 50;  // steps between rows of metrics.csv within an epoch

double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

}  // namespace

void Run::step() {
  const ProfiledStep profiled(method_.name(), training_->steps() + 1, settings_.profile);
  try {
    for (Training::Scalars& batch : training_->step()) unread_.push_back(std::move(batch));
  } catch (const std::exception&) {
    rescue();
    throw;
  }
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

// The checkpoint comes first: what is in RUN/best is never of a step that a resumed run has yet to make. Whether there
// was one.
bool Run::keep_best(const MetricsRow& row) {
  const auto cell = std::find_if(row.begin(), row.end(), [&](const auto& c) { return c.first == best_by_.column; });
  if (cell == row.end() || !cell->second || !std::isfinite(*cell->second)) return false;
  if (!best_by_.improves(*cell->second, state_.best)) return false;
  state_.best = {training_->steps(), *cell->second};
  save();
  try {
    write_best(method_, folder_->path(), state_.best, epochs(), best_by_);
  } catch (const std::exception& error) { say(fmt::format("warning: the best encoder is not kept: {}", error.what())); }
  return true;
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

// Losses since the last row, and the last gradient.
bool Run::is_finite() {
  read_scalars();
  if (training_->steps() > resumed_at_ && !std::isfinite(training_->gradient_norm())) return false;
  return std::all_of(state_.sums.begin(), state_.sums.end(),
                     [](const auto& sum) { return sum.first != "loss" || std::isfinite(sum.second); });
}

// An error ends the run: what was learned since the last checkpoint is saved, where the error left it whole.
void Run::rescue() {
  if (!training_->whole() || training_->steps() == last_saved_) return;
  try {
    if (!is_finite()) return;
    save();
    say(fmt::format("saved at step {}, before the error", training_->steps()));
  } catch (const std::exception& error) {
    say(fmt::format("warning: what was learned since step {} could not be saved: {}", last_saved_, error.what()));
  }
}

void Run::save() {
  if (!is_finite()) fail_not_finite(last_loss_, training_->gradient_norm());
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
  if (!keep_best(write_row(std::exchange(state_.row, {})))) save();
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
    const bool saved = training_->steps() == last_saved_;
    if (!saved && seconds_since(last_save_) > 60 * method_.run.checkpoint_minutes) save();
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

PretrainResult pretrain(Method& method, const PretrainSettings& settings) { return Run(method, settings).train(); }

void load_run(const std::string& folder, Method& method) {
  Random random(1);
  method.build(random);
  load_weights(folder, method);
  move_to(method, method.run.resolved_device());
}

}  // namespace gestalt
