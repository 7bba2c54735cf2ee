// What a run writes down as it goes: its tables, its pictures, and on request all of that for TensorBoard.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/data/images/picture.h"
#include "engine/run/event_file.h"
#include "engine/run/run_folder.h"
#include "tasks/training/checkpoint.h"
#include "tasks/training/training.h"

namespace gestalt {

class Records {
 public:
  explicit Records(const RunFolder& folder) : folder_(folder) {}

  // Goes on with tables that had so many bytes at `step`; what was written later is cut off.
  void go_on(int64_t step, int64_t metrics_bytes, int64_t timing_bytes);
  // Event files too, from `step` on.
  void open_events(int64_t step);

  // Rows of metrics.csv, which metrics.jsonl gets too, and of timing.csv; they begin with their step. A file opens with
  // its first row, when its columns are known. Both return what was found amiss in it, in a sentence, or nothing.
  std::string metrics(const MetricsRow& row);
  std::string timing(const MetricsRow& row);
  // NAME.png in the run's folder.
  void picture(const std::string& name, int64_t step, const Picture& picture);
  // To TensorBoard alone: a picture; every trained part's weights.
  void event_picture(const std::string& tag, int64_t step, const Picture& picture);
  void weights(int64_t step, Method& method);

  // How long the tables are on the disk; 0 for one that has no row yet.
  int64_t metrics_bytes() const { return metrics_.bytes(); }
  int64_t timing_bytes() const { return timing_.bytes(); }

 private:
  struct Table {
    const char* name;
    int64_t begun_bytes = 0;  // in earlier sittings
    std::optional<MetricsFile> file = {};

    int64_t bytes() const { return file ? file->bytes() : begun_bytes; }
  };
  std::string append(Table& table, const MetricsRow& row, const char* tag);

  const RunFolder& folder_;
  int64_t resumed_at_ = 0;  // step
  Table metrics_{RunFolder::metrics}, timing_{RunFolder::timing};
  std::optional<EventFile> events_;
};

}  // namespace gestalt
