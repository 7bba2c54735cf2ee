// The folder of one run: who may write into it, and a metrics table that a resume continues byte for byte.
#include "engine/run/run_folder.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/run/fields.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

bool holds_a_run(const fs::path& folder) {
  return fs::exists(folder / "config.json") || fs::exists(folder / "metrics.csv");
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check(!error && fs::is_directory(folder), "[run] cannot make the folder '{}': {}", folder.string(),
        error ? error.message() : "a file has that name");
}

// runs/NAME-DATE, with a number behind it if two runs begin in one second.
std::string unused_folder(const std::string& name) {
  make_folder("runs");
  const std::string stem = fmt::format("runs/{}-{:%Y%m%d-%H%M%S}", name, fmt::localtime(std::time(nullptr)));
  std::string path = stem;
  for (int i = 2; !fs::create_directory(path); ++i) path = fmt::format("{}-{}", stem, i);
  return path;
}

}  // namespace

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {
  lock_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  check(lock_ >= 0, "[run] cannot open the folder '{}': {}", path_, std::strerror(errno));
  // A file system without locks is no reason to refuse a run.
  const bool taken = flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (taken) close(lock_);
  check(!taken, "[run] another process is writing into '{}'; wait for it or choose another --out", path_);
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

RunFolder RunFolder::create(const std::string& out, const std::string& name) {
  if (out.empty()) return RunFolder(unused_folder(name));
  make_folder(out);
  check(!holds_a_run(out), "[run] '{}' holds a run; continue it with --resume or choose another --out", out);
  return RunFolder(out);
}

RunFolder RunFolder::resume(const std::string& path) {
  check(fs::is_directory(path), "[run] there is no folder '{}' to resume", path);
  check(fs::exists(fs::path(path) / "config.json"), "[run] '{}' holds no run: it has no config.json", path);
  RunFolder folder(path);
  remove_unfinished_files(path);
  return folder;
}

void RunFolder::write_config(const nlohmann::ordered_json& config) const {
  write_file_atomically(*this / "config.json", config.dump(2) + "\n");
}

nlohmann::ordered_json RunFolder::read_config() const {
  const std::string path = *this / "config.json";
  return parse_json(path, read_text(path));
}

MetricsFile::MetricsFile(std::string path, std::vector<std::string> columns)
    : path_(std::move(path)), columns_(std::move(columns)) {
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  check(descriptor_ >= 0, "[metrics] cannot create '{}': {}", path_, std::strerror(errno));
  write(fmt::format("{}\n", fmt::join(columns_, ",")));
}

MetricsFile::MetricsFile(std::string path, std::vector<std::string> columns, int64_t bytes)
    : path_(std::move(path)), columns_(std::move(columns)) {
  const std::string header = fmt::format("{}\n", fmt::join(columns_, ",")), text = read_text(path_);
  check(text.starts_with(header), "[metrics] '{}' does not begin with the columns {}; it is another run's", path_,
        fmt::join(columns_, ","));
  bytes_ = static_cast<int64_t>(text.size());
  check(bytes >= static_cast<int64_t>(header.size()) && bytes <= bytes_,
        "[metrics] '{}' has {} bytes, but the checkpoint was made when it had {}", path_, bytes_, bytes);
  descriptor_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  check(descriptor_ >= 0, "[metrics] cannot open '{}': {}", path_, std::strerror(errno));
  truncate_to(bytes);
}

MetricsFile::~MetricsFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void MetricsFile::write(const std::string& line) {
  ssize_t written = -1;
  do written = ::write(descriptor_, line.data(), line.size());
  while (written < 0 && errno == EINTR);
  check(written == static_cast<ssize_t>(line.size()), "[metrics] cannot write '{}': {}", path_,
        written < 0 ? std::strerror(errno) : "the disk is full");
  bytes_ += written;
}

void MetricsFile::append(const std::vector<std::pair<std::string, double>>& values) {
  std::vector<std::string> cells(columns_.size());
  for (const auto& [column, value] : values) {
    const auto found = std::find(columns_.begin(), columns_.end(), column);
    check(found != columns_.end(), "[metrics] unknown column '{}'{}", column, suggestion(column, columns_));
    cells[static_cast<size_t>(found - columns_.begin())] = fmt::format("{}", value);
  }
  write(fmt::format("{}\n", fmt::join(cells, ",")));
}

void MetricsFile::truncate_to(int64_t bytes) {
  check(bytes >= 0 && bytes <= bytes_, "[metrics] got {} bytes to keep of '{}', which has {}", bytes, path_, bytes_);
  check(ftruncate(descriptor_, bytes) == 0, "[metrics] cannot cut '{}': {}", path_, std::strerror(errno));
  bytes_ = bytes;
}

int64_t MetricsFile::bytes() const {
  check(fsync(descriptor_) == 0 || errno == EINVAL, "[metrics] cannot sync '{}': {}", path_, std::strerror(errno));
  return bytes_;
}

}  // namespace gestalt
