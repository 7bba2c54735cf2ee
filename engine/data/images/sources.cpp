// Sets in memory, splits, whole files and parallel loops for the readers of the different formats.
#include "engine/data/images/sources.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <thread>

#include "kernels/check.h"
#include "kernels/cpu/team.h"

namespace gestalt {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string size_text(const std::vector<kernels::Frame>& frames) {
  int32_t low = INT32_MAX, high = 0;
  for (const kernels::Frame& f : frames)
    low = std::min({low, f.height, f.width}), high = std::max({high, f.height, f.width});
  const bool even = std::all_of(frames.begin(), frames.end(), [&](const kernels::Frame& f) {
    return f.height == frames[0].height && f.width == frames[0].width;
  });
  if (even && !frames.empty()) return fmt::format("{} x {}", frames[0].width, frames[0].height);
  return fmt::format("{} to {} pixels a side", low, high);
}

}  // namespace

ResidentSet::ResidentSet(Parts parts)
    : split_(std::move(parts.split)),
      note_(std::move(parts.note)),
      image_names_(std::move(parts.image_names)),
      image_paths_(std::move(parts.image_paths)),
      pixels_(std::move(parts.pixels)),
      frames_(std::move(parts.frames)) {
  name_ = std::move(parts.name);
  labels_ = std::move(parts.labels);
  class_names_ = std::move(parts.class_names);
  report_ = std::move(parts.report);
  size_ = frames_.size();
  if (size_ == 0) throw EmptySplit(fmt::format("[data] {} has no images in its {} split", name_, split_));
  check(labels_.empty() || labels_.size() == size_, "[data] {} has {} labels for {} images", name_, labels_.size(),
        size_);
  check(image_names_.empty() || image_names_.size() == size_, "[data] {} has {} names for {} images", name_,
        image_names_.size(), size_);
}

std::string ResidentSet::image_name(int64_t index) const {
  return image_names_.empty() ? fmt::format("{}/{}", split_, index) : image_names_[static_cast<size_t>(index)];
}

std::string ResidentSet::describe() const {
  return fmt::format("{} {}: {} images of {}, {}, {:.1f} MiB in memory{}", name_, split_, size_, size_text(frames_),
                     class_text(), static_cast<double>(pixels_.count()) / (1 << 20), note_);
}

Image ResidentSet::decode(int64_t index) const {
  check(index >= 0 && index < size(), "[data] got image {} of {}", index, size_);
  const kernels::Frame& f = frames_[static_cast<size_t>(index)];
  const uint8_t* from = pixels_.data<uint8_t>() + f.offset;
  return {{from, from + static_cast<int64_t>(f.height) * f.width * 3}, f.height, f.width};
}

std::vector<kernels::Frame> even_frames(int64_t count, int32_t height, int32_t width) {
  std::vector<kernels::Frame> frames(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) frames[i] = {i * height * width * 3, height, width};
  return frames;
}

std::vector<int64_t> held_out_split(int64_t count, const std::vector<int32_t>& labels, const OpenOptions& options) {
  constexpr int64_t every = 10;
  const bool test = options.split == "test", labelled = !labels.empty() && !options.unlabelled;
  std::map<int32_t, int64_t> sizes, seen;  // images of each class, all and so far
  for (int32_t label : labels) ++sizes[label];
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t size = labelled ? sizes[labels[i]] : 1, place = labelled ? seen[labels[i]]++ : 0;
    const bool held = size < every ? size > 1 && place == size - 1 : place % every == every - 1;
    if (test ? held : !(held && options.hold_out)) kept.push_back(i);
  }
  return kept;
}

void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& f) {
  if (threads <= 0) threads = kernels::cpu::team_size();
  threads = static_cast<int>(std::min<int64_t>(threads, count));
  std::atomic<int64_t> next = 0;
  std::mutex mutex;
  int64_t failed_at = count;
  std::exception_ptr failure;
  auto work = [&] {
    for (int64_t i; (i = next++) < count;) {
      try {
        f(i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (i < failed_at) failed_at = i, failure = std::current_exception();
      }
    }
  };
  std::vector<std::jthread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work);
  work();
  others.clear();
  if (failure) std::rethrow_exception(failure);
}

Bytes read_file(const std::string& path, int64_t most) {
  // Does not wait for the other end of a pipe.
  const int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  check(descriptor >= 0, "[data] cannot open {}: {}", path, std::strerror(errno));
  std::unique_ptr<std::FILE, CloseFile> file(fdopen(descriptor, "rb"));
  check(file != nullptr, "[data] cannot open {}: {}", path, std::strerror(errno));
  struct stat status;
  check(fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode), "[data] {} is not a file", path);
  Bytes bytes(static_cast<size_t>(most < 0 ? status.st_size : std::min<int64_t>(most, status.st_size)));
  const size_t got = std::fread(bytes.data(), 1, bytes.size(), file.get());
  check(got == bytes.size(), "[data] cannot read {}: {} of {} bytes came", path, got, bytes.size());
  return bytes;
}

int64_t file_bytes(const std::string& path) {
  struct stat status;
  const bool found = stat(path.c_str(), &status) == 0;
  check(found, "[data] cannot open {}: {}", path, std::strerror(errno));
  return status.st_size;
}

bool file_exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

std::string find_file(const std::string& dir, std::span<const std::string> names) {
  for (const std::string& name : names)
    if (file_exists(dir + "/" + name)) return dir + "/" + name;
  return "";
}

}  // namespace gestalt
