// A page about one run or several: what was run, its curves, its results, and pictures of what it learned.
#pragma once

#include <string>
#include <vector>

#include "engine/run/fields.h"
#include "tasks/evaluation/run_record.h"
#include "tasks/training/method.h"

namespace gestalt {

struct RunReportOptions {
  bool pictures = true;
  int64_t images = 2000;  // held-out ones that are looked at for them, and five times as many that were learned from
  std::string data = {};  // where the data are now; empty: as the run has it
  int64_t threads = 0;

  void fields(Fields& f);
};

// The page as HTML, which needs no other file and no network. What cannot be shown is left out, with a line that says
// why. `trained` is the method of the only run, trained and with its data open; without it data and weights are read
// again. Throws Error for a folder without a run.
std::string run_report(const std::vector<std::string>& folders, const RunReportOptions& options,
                       Method* trained = nullptr);

// Writes report.html into the folder of a run that has just ended; returns the file. It looks at no more images than a
// twentieth of those that were learned from, so that it takes a small part of the run's time.
std::string write_run_report(const std::string& folder, Method& trained);

// The part that needs the run's data and weights, as HTML. Throws Error where there is nothing to be seen.
std::string run_pictures(const RunRecord& run, const RunReportOptions& options, Method* trained);

}  // namespace gestalt
