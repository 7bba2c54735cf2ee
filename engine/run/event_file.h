// TensorBoard's event files: scalars, pictures and histograms by step.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace gestalt {

// One file of records, each a serialised `Event` (tensorflow/core/util/event.proto) between its length and checksums
// (TFRecord). TensorBoard reads all files of a folder together; one that begins at `first_step` hides what earlier
// files say of steps from there on, so a resumed run opens a new one. What is appended is in the file when the call
// returns; a reader passes over a record that a killed process left unfinished. Throws Error with the path where it
// cannot write.
class EventFile {
 public:
  // events.out.tfevents.TIME.HOST.PROCESS in `folder`.
  EventFile(const std::string& folder, int64_t first_step);
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  ~EventFile();

  void scalar(const std::string& tag, int64_t step, double value);
  void image(const std::string& tag, int64_t step, std::string_view png, int64_t height, int64_t width);
  // Of all values, in buckets whose limits grow by a tenth, as TensorBoard's own writers make them.
  void histogram(const std::string& tag, int64_t step, std::span<const float> values);

  const std::string& path() const { return path_; }

 private:
  void write(const std::string& event);
  void summary(int64_t step, const std::string& value);

  std::string path_;
  int descriptor_ = -1;
};

// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
uint32_t crc32c(std::string_view bytes);

}  // namespace gestalt
