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
  static RunFolder create(const std::string& out, const std::string& name);
  // The run that stands in `path`.
  static RunFolder resume(const std::string& path);

  RunFolder(RunFolder&& other) noexcept : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}
  RunFolder& operator=(RunFolder&&) = delete;
  ~RunFolder();

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& file) const { return path_ + "/" + file; }

  // config.json: what fields() gave after flags, files and presets were applied.
  void write_config(const nlohmann::ordered_json& config) const;
  nlohmann::ordered_json read_config() const;

 private:
  explicit RunFolder(std::string path);

  std::string path_;
  int lock_ = -1;  // of the folder itself: a second process that resumes the same run is refused
};

// A table that grows by a line at a time. Each line is one write, so a killed process leaves whole lines.
class MetricsFile {
 public:
  // A new file with `columns` in its first line.
  MetricsFile(std::string path, std::vector<std::string> columns);
  // Goes on with a file as it was when it had `bytes` (see bytes()); what a killed run wrote after that is cut off.
  MetricsFile(std::string path, std::vector<std::string> columns, int64_t bytes);
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  ~MetricsFile();

  // One line; a column that is not named is left empty. Numbers are written so that reading gives the same double.
  void append(const std::vector<std::pair<std::string, double>>& values);
  void truncate_to(int64_t bytes);
  // The length of the file so far, on the disk for good: what a checkpoint keeps, to truncate to on resume.
  int64_t bytes() const;

 private:
  void write(const std::string& line);

  std::string path_;
  std::vector<std::string> columns_;
  int descriptor_ = -1;
  int64_t bytes_ = 0;
};

}  // namespace gestalt
