// Writing event files: the few messages of protocol buffers that they need, by hand.
#include "engine/run/event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/run/files.h"
#include "engine/run/protobuf.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

// Numbers of fields in event.proto and summary.proto.
namespace event {
constexpr int wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7;
}
namespace summary_value {
constexpr int tag = 1, simple_value = 2, image = 4, histogram = 5;
}

Message event_at(int64_t step) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  Message m;
  m.real(event::wall_time, now).integer(event::step, static_cast<uint64_t>(step));
  return m;
}

// As TFRecord stores a checksum, so that one of data with a checksum in it is no fixed point.
uint32_t masked(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <class T>
void append(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// …, −1e-12·1.1, −1e-12, 0, 1e-12, 1e-12·1.1, …, and at the end the greatest double.
const std::vector<double>& bucket_limits() {
  static const std::vector<double> all = [] {
    std::vector<double> positive;
    for (double limit = 1e-12; limit < 1e20; limit *= 1.1) positive.push_back(limit);
    std::vector<double> limits;
    for (auto limit = positive.rbegin(); limit != positive.rend(); ++limit) limits.push_back(-*limit);
    limits.push_back(0);
    limits.insert(limits.end(), positive.begin(), positive.end());
    limits.push_back(std::numeric_limits<double>::max());
    return limits;
  }();
  return all;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = t[i] >> 1 ^ (t[i] & 1 ? 0x82f63b78u : 0u);
    }
    return t;
  }();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

EventFile::EventFile(const std::string& folder, int64_t first_step) {
  char host[256] = "host";
  gethostname(host, sizeof host - 1);
  const int64_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const std::string name = fmt::format("{}/events.out.tfevents.{}.{}.{}", folder, now, host, getpid());
  path_ = name;
  const auto create = [&] { return open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); };
  descriptor_ = create();
  for (int i = 1; descriptor_ < 0 && errno == EEXIST && i < 100; ++i) {
    path_ = fmt::format("{}.{}", name, i);
    descriptor_ = create();
  }
  const int reason = errno;
  check(descriptor_ >= 0, "[events] cannot create '{}': {}", path_, std::strerror(reason));
  write(event_at(first_step).bytes(event::file_version, "brain.Event:2").text());
  constexpr uint64_t start = 1;
  if (first_step > 0) write(event_at(first_step).bytes(event::session_log, Message().integer(1, start).text()).text());
}

EventFile::~EventFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void EventFile::write(const std::string& event) {
  std::string record;
  append(record, static_cast<uint64_t>(event.size()));
  append(record, masked(record));
  record += event;
  append(record, masked(event));
  const bool written = write_all(descriptor_, record);
  check(written, "[events] cannot write '{}': {}", path_, std::strerror(errno));
}

void EventFile::summary(int64_t step, const std::string& value) {
  write(event_at(step).bytes(event::summary, Message().bytes(1, value).text()).text());
}

void EventFile::scalar(const std::string& tag, int64_t step, double value) {
  summary(
      step,
      Message().bytes(summary_value::tag, tag).real32(summary_value::simple_value, static_cast<float>(value)).text());
}

void EventFile::image(const std::string& tag, int64_t step, std::string_view png, int64_t height, int64_t width) {
  constexpr uint64_t rgb = 3;
  const std::string image = Message()
                                .integer(1, static_cast<uint64_t>(height))
                                .integer(2, static_cast<uint64_t>(width))
                                .integer(3, rgb)
                                .bytes(4, png)
                                .text();
  summary(step, Message().bytes(summary_value::tag, tag).bytes(summary_value::image, image).text());
}

void EventFile::histogram(const std::string& tag, int64_t step, std::span<const float> values) {
  const std::vector<double>& limits = bucket_limits();
  std::vector<double> counts(limits.size()), shown_limits, shown_counts;
  double least = std::numeric_limits<double>::max(), most = -least, sum = 0, squares = 0, number = 0;
  for (const float f : values) {
    if (!std::isfinite(f)) continue;
    const double v = f;
    ++counts[static_cast<size_t>(std::upper_bound(limits.begin(), limits.end() - 1, v) - limits.begin())];
    least = std::min(least, v), most = std::max(most, v), sum += v, squares += v * v, ++number;
  }
  if (number == 0) least = most = 0;
  // Runs of empty buckets are one.
  for (size_t i = 0; i < limits.size();) {
    size_t last = i;
    while (counts[i] == 0 && last + 1 < limits.size() && counts[last + 1] == 0) ++last;
    shown_limits.push_back(limits[last]), shown_counts.push_back(counts[i]);
    i = last + 1;
  }
  const std::string histogram = Message()
                                    .real(1, least)
                                    .real(2, most)
                                    .real(3, number)
                                    .real(4, sum)
                                    .real(5, squares)
                                    .reals(6, shown_limits)
                                    .reals(7, shown_counts)
                                    .text();
  summary(step, Message().bytes(summary_value::tag, tag).bytes(summary_value::histogram, histogram).text());
}

}  // namespace gestalt
