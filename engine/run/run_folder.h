// The folder of one run: its resolved configuration, its metrics and its checkpoints.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace gestalt {

// A folder that one process at a time may write a run into. Every member throws Error with the path and the cure.
class RunFolder {
 public:
  // A new run in `out`, or in runs/NAME-DATE if `out` is empty. An existing folder is taken unless a run stands in it.
  // Until keep() is called, the destructor takes away what a run writes first, and the folders that were made for it.
  static RunFolder create(const std::string& out, const std::string& name);
  // Throws what create() would for `out`, where that can be known without making anything.
  static void check_free(const std::string& out);
  // The run that stands in `path`.
  static RunFolder resume(const std::string& path);

  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  ~RunFolder();

  void keep() { kept_ = true; }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& file) const { return path_ + "/" + file; }

  // config.json: what fields() gave after flags, files and presets were applied. Null where there is none.
  void write_config(const nlohmann::ordered_json& config) const;
  nlohmann::ordered_json read_config() const;

  // Names of files in it.
  static constexpr const char* config = "config.json";
  static constexpr const char* checkpoint = "checkpoint.safetensors";
  static constexpr const char* previous_checkpoint = "checkpoint.previous.safetensors";
  static constexpr const char* metrics = "metrics.csv";
  static constexpr const char* timing = "timing.csv";
  static constexpr const char* metric_lines = "metrics.jsonl";  // the rows of metrics.csv
  static constexpr const char* fault = "fault.json";
  static constexpr const char* best = "best";  // a folder

 private:
  explicit RunFolder(std::string path);
  void discard() noexcept;

  std::string path_;
  std::vector<std::string> made_;  // folders, the outermost first
  bool kept_ = true;
  int lock_ = -1;  // of the folder itself: a second process that resumes the same run is refused
};

// A table that grows by a line at a time. Each line is one write, so a killed process leaves whole lines.
class MetricsFile {
 public:
  // A new file with `columns` in its first line.
  MetricsFile(std::string path, std::vector<std::string> columns);
  // Goes on with a file as it was when it had `bytes` (see bytes()); what a killed run wrote after that is cut off. One
  // that another program has saved anew, with other line ends or blank lines, or that was cut short, keeps its whole
  // rows up to `last`, by the first column. One that is missing or has other columns begins anew, the latter being kept
  // as PATH.before; see note().
  MetricsFile(std::string path, std::vector<std::string> columns, int64_t bytes, double last);
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  ~MetricsFile();

  // One line; a column that is not named is left empty. Numbers are written so that reading gives the same double.
  void append(const std::vector<std::pair<std::string, double>>& values);
  void truncate_to(int64_t bytes);
  // The length of the file so far, on the disk for good: what a checkpoint keeps, to truncate to on resume.
  int64_t bytes() const;
  const std::string& note() const { return note_; }  // what was found amiss, in a sentence

 private:
  void restore(double last);
  void write(const std::string& line);

  std::string path_, note_;
  std::vector<std::string> columns_;
  int descriptor_ = -1;
  int64_t bytes_ = 0;
};

}  // namespace gestalt
