// The folder of one run: who may write into it, and a metrics table that a resume continues byte for byte.
#include "engine/run/run_folder.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/run/fields.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

// Whether there is something to lose or to go on with. A run that was killed before its first checkpoint leaves no more
// than a config.json.
bool holds_a_run(const fs::path& folder) {
  std::error_code ignored;
  for (const char* name :
       {RunFolder::checkpoint, RunFolder::previous_checkpoint, RunFolder::metrics, "encoder.safetensors", "gpt2"})
    if (fs::exists(folder / name, ignored)) return true;
  return false;
}

// Somebody else's is not overwritten.
bool has_foreign_config(const fs::path& folder) {
  const fs::path path = folder / RunFolder::config;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return false;
  try {
    return !parse_json(path, read_text(path)).contains("method");
  } catch (const Error&) { return true; }
}

// Makes `folder` and those above it that are missing; returns what was made, the outermost first.
std::vector<std::string> make_folder(const fs::path& folder) {
  std::vector<std::string> made;
  std::error_code error;
  for (fs::path p = folder.lexically_normal(); !p.empty() && !fs::exists(p, error); p = p.parent_path())
    if (p.has_filename()) made.insert(made.begin(), p.string());
  error.clear();
  fs::create_directories(folder, error);
  std::error_code ignored;
  check(!error && fs::is_directory(folder, ignored), "[run] cannot make the folder '{}': {}", folder.string(),
        error ? error.message() : "a file has that name");
  return made;
}

// Takes away what a killed process did not finish.
void clean(const std::string& folder) {
  for (const char* part : {"", "/gpt2", "/best", "/best/gpt2"}) remove_unfinished_files(folder + part);
}

// runs/NAME-DATE, with a number behind it if two runs begin in one second.
std::string unused_name(const std::string& name) {
  const std::string stem = fmt::format("runs/{}-{:%Y%m%d-%H%M%S}", name, fmt::localtime(std::time(nullptr)));
  std::string path = stem;
  for (int i = 2; fs::exists(path); ++i) path = fmt::format("{}-{}", stem, i);
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

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      made_(std::move(other.made_)),
      kept_(std::exchange(other.kept_, true)),
      lock_(std::exchange(other.lock_, -1)) {}

RunFolder::~RunFolder() {
  if (!kept_) discard();
  if (lock_ >= 0) close(lock_);
}

// A table with rows stays under another name: somebody may want to see how it went wrong.
void RunFolder::discard() noexcept {
  std::error_code ignored;
  const fs::path folder(path_);
  for (const char* name : {checkpoint, previous_checkpoint, config, timing, metric_lines})
    fs::remove(folder / name, ignored);
  fs::rename(folder / metrics, folder / "metrics.failed.csv", ignored);
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) rmdir(made->c_str());  // if it is empty
}

void RunFolder::check_free(const std::string& out) {
  check(out.empty() || !holds_a_run(out), "[run] '{}' holds a run; continue it with --resume or choose another --out",
        out);
  check(out.empty() || !has_foreign_config(out), "[run] '{}' has a {} that is no run's; choose another --out", out,
        config);
  std::error_code error;
  fs::path there = fs::absolute(out.empty() ? "runs" : out, error);
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  const bool writable = fs::is_directory(there, error) && access(there.c_str(), W_OK | X_OK) == 0;
  check(writable, "[run] cannot write into '{}': {}; choose another --out", there.string(),
        fs::is_directory(there, error) ? std::strerror(errno) : "it is no folder");
}

RunFolder RunFolder::create(const std::string& out, const std::string& name) {
  if (!out.empty()) check_free(out);
  const std::string path = out.empty() ? unused_name(name) : out;
  std::vector<std::string> made = make_folder(path);
  RunFolder folder(path);
  clean(path);
  folder.made_ = std::move(made);
  folder.kept_ = false;
  return folder;
}

RunFolder RunFolder::resume(const std::string& path) {
  std::error_code ignored;
  check(!path.empty(), "[run] got an empty --resume, expected the folder of a run");
  check(fs::is_directory(path, ignored), "[run] there is no folder '{}' to resume", path);
  check(holds_a_run(path), "[run] '{0}' holds no run that was saved: it has no {1}; begin it with --out {0}", path,
        checkpoint);
  RunFolder folder(path);
  clean(path);
  return folder;
}

void RunFolder::write_config(const nlohmann::ordered_json& json) const {
  write_file_atomically(*this / config, json.dump(2) + "\n");
}

nlohmann::ordered_json RunFolder::read_config() const {
  const std::string path = *this / config;
  if (!fs::exists(path)) return nullptr;
  return parse_json(path, read_text(path));
}

MetricsFile::MetricsFile(std::string path, std::vector<std::string> columns)
    : path_(std::move(path)), columns_(std::move(columns)) {
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  check(descriptor_ >= 0, "[metrics] cannot create '{}': {}", path_, std::strerror(errno));
  write(fmt::format("{}\n", fmt::join(columns_, ",")));
}

MetricsFile::MetricsFile(std::string path, std::vector<std::string> columns, int64_t bytes, double last)
    : path_(std::move(path)), columns_(std::move(columns)) {
  const std::string header = fmt::format("{}\n", fmt::join(columns_, ","));
  const std::string text = fs::is_regular_file(path_) ? read_text(path_) : "";
  const std::string_view kept = std::string_view(text).substr(0, static_cast<size_t>(std::max<int64_t>(0, bytes)));
  const bool as_it_was = kept.size() == static_cast<size_t>(bytes) && kept.starts_with(header) &&
                         kept.ends_with('\n') && kept.find('\r') == kept.npos && kept.find("\n\n") == kept.npos;
  if (!as_it_was) restore(last);
  descriptor_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  check(descriptor_ >= 0, "[metrics] cannot open '{}': {}", path_, std::strerror(errno));
  bytes_ = static_cast<int64_t>(fs::file_size(path_));
  if (as_it_was) truncate_to(bytes);
}

// Writes the file anew from what can be read of it.
void MetricsFile::restore(double last) {
  const std::string header = fmt::format("{}", fmt::join(columns_, ","));
  const bool there = fs::is_regular_file(path_);
  std::istringstream lines(there ? read_text(path_) : "");
  std::string text = header + "\n", line;
  const auto next = [&] {
    while (std::getline(lines, line)) {
      line.erase(std::remove(line.begin(), line.end(), '\r'), line.end());
      if (!line.empty()) return true;
    }
    return false;
  };
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  const bool same =
      next() && (line.starts_with(byte_order_mark) ? line.substr(byte_order_mark.size()) : line) == header;
  note_ = there && same ? fmt::format("'{}' was changed; it goes on with the rows that it has", path_)
          : there       ? fmt::format("'{0}' has other columns; it is kept as {0}.before, and begins anew", path_)
                        : fmt::format("'{}' is missing; it begins anew", path_);
  if (there && !same) fs::rename(path_, path_ + ".before");
  while (same && next()) {
    double step = 0;
    const char* const line_end = line.data() + line.size();
    const auto [end, error] = std::from_chars(line.data(), line_end, step);
    const bool whole = std::count(line.begin(), line.end(), ',') + 1 == std::ssize(columns_);
    if (error == std::errc() && whole && (end == line_end || *end == ',') && step <= last) text += line + "\n";
  }
  write_file_atomically(path_, text);
}

MetricsFile::~MetricsFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void MetricsFile::write(const std::string& line) {
  const bool written = write_all(descriptor_, line);
  check(written, "[metrics] cannot write '{}': {}", path_, std::strerror(errno));
  bytes_ += static_cast<int64_t>(line.size());
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
  const bool cut = ftruncate(descriptor_, bytes) == 0;
  check(cut, "[metrics] cannot cut '{}': {}", path_, std::strerror(errno));
  bytes_ = bytes;
}

int64_t MetricsFile::bytes() const {
  const bool synced = fsync(descriptor_) == 0 || errno == EINVAL;
  check(synced, "[metrics] cannot sync '{}': {}", path_, std::strerror(errno));
  return bytes_;
}

}  // namespace gestalt
