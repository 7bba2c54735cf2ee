// What a run left behind, read without building or loading anything of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/run/json.h"
#include "engine/run/table.h"

namespace gestalt {

enum class RunPhase : uint8_t {
  finished,     // it has made its steps
  running,      // a process is writing into it
  failed,       // it stopped at a loss that is not finite, and nothing came after
  interrupted,  // by a signal, a kill, a crash: it can be resumed
};
const char* name(RunPhase phase);

struct RunRecord {
  std::string folder, method;
  RunPhase phase = RunPhase::interrupted;
  Json config;                       // config.json
  NumberTable metrics, timing;       // without columns where there is no such file
  std::vector<Json> results;         // the lines of results.jsonl
  std::vector<std::string> changes;  // by which a resume was asked to go on otherwise
  std::vector<std::string> missing;  // what could not be read, and why
  Json best;                         // best/best.json; null where no best encoder is kept
};

// The run in `folder`. Throws Error, with the cure, where no run stands; a table or a result that is damaged is
// `missing`.
RunRecord read_run_record(const std::string& folder);

// The column of metrics.csv that has the probe's headline, and what it holds in words: "kNN accuracy, %".
std::string probe_column(const RunRecord& run);
std::string probe_name(const RunRecord& run);

// Wilson's interval of 95 % for `percent` of `count` right, in percent.
struct Interval {
  double low, high;
};
Interval binomial_interval(double percent, int64_t count);

// A word as a shell takes it: in quotes where it needs them.
std::string shell_word(const std::string& text);
// The command that makes the run again, in a folder of its own.
std::string command_of(const RunRecord& run);

// Rows of the run whose method calls them a collapse, as CollapseGuard says; empty if there is none.
std::string collapse_of(const RunRecord& run);

// A run's fields beside the preset of its method that it differs from least, or beside the defaults.
struct FieldComparison {
  struct Row {
    std::string name, value, expected;
    bool differs;
  };
  std::string beside;  // "the preset simclr-cifar10", "the defaults of simclr"
  std::vector<Row> rows;
};
FieldComparison compare_with_preset(const RunRecord& run);

}  // namespace gestalt
