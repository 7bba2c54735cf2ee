// How a run begins, and how one that was interrupted goes on.
#include <fmt/format.h>

#include <filesystem>

#include "engine/run/files.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/device_memory.h"
#include "kernels/cpu/team.h"
#include "kernels/launch.h"
#include "tasks/training/estimate.h"
#include "tasks/training/one_run.h"
#include "tasks/training/resume.h"

namespace gestalt {

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
  const Json written = folder_->read_config();
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
  const Json config = config_of(method_);
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

// What was killed between the two is made up for.
void Run::find_best() {
  if (best_by_.column.empty() || state_.best.step == 0 || step_of_best(folder_->path()) == state_.best.step) return;
  if (state_.best.step == state_.step) return write_best(method_, folder_->path(), state_.best, epochs(), best_by_);
  notes_.push_back(fmt::format("{}/{} has not the encoder of step {}, the best so far; it is chosen anew from here on",
                               folder_->path(), RunFolder::best, state_.best.step));
  state_.best = {};
}

}  // namespace gestalt
