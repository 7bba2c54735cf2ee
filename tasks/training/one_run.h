// One run from its opening to its end. What pretrain() does: see run.h; run_opening.cpp begins it or goes on with one,
// run.cpp is its loop.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/run/progress.h"
#include "engine/run/run_folder.h"
#include "tasks/training/best.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/collapse.h"
#include "tasks/training/records.h"
#include "tasks/training/run.h"
#include "tasks/training/training.h"

namespace gestalt {

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
  bool keep_best(const MetricsRow& row);
  void find_best();
  void log_timing();
  void measure_spread(MetricsRow& row);
  void probe();
  bool is_finite();
  void rescue();
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
  using Clock = std::chrono::steady_clock;
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

}  // namespace gestalt
