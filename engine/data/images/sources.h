// What the readers of the different formats share: sets in memory, files read whole, and one opener each.
#pragma once

#include <algorithm>
#include <functional>
#include <span>

#include "engine/data/images/image_set.h"

namespace gestalt {

// All pixels in one block of memory.
class ResidentSet : public ImageSet {
 public:
  struct Parts {
    std::string name, split;
    Tensor pixels;  // u8 (bytes)
    std::vector<kernels::Frame> frames;
    std::vector<int32_t> labels;
    std::vector<std::string> class_names;
    DamageReport report;
    std::string note;                      // put at the end of describe()
    std::vector<std::string> image_names;  // one an image; none: split and number
    std::vector<std::string> image_paths;  // one an image, or none
  };

  explicit ResidentSet(Parts);
  std::string describe() const override;
  bool resident() const override { return true; }
  Tensor pixels() const override { return pixels_; }
  const std::vector<kernels::Frame>& frames() const override { return frames_; }
  std::string image_name(int64_t index) const override;
  std::string image_path(int64_t index) const override {
    return image_paths_.empty() ? "" : image_paths_[static_cast<size_t>(index)];
  }
  ImageSize stored_size(int64_t index) const override {
    const kernels::Frame& f = frames_[static_cast<size_t>(index)];
    return {.format = {}, .height = f.height, .width = f.width};
  }
  Image decode(int64_t index) const override;

 private:
  std::string split_, note_;
  std::vector<std::string> image_names_, image_paths_;
  Tensor pixels_;
  std::vector<kernels::Frame> frames_;
};

// `count` frames of one size, one after the other.
std::vector<kernels::Frame> even_frames(int64_t count, int32_t height, int32_t width);

// Which of the images make up `split` where the source has none of its own; see OpenOptions::hold_out.
std::vector<int64_t> held_out_split(int64_t count, const std::vector<int32_t>& labels, const OpenOptions&);

// Calls f(index) for each index below `count` on `threads` threads (0: one a core). Of several exceptions, that of the
// lowest index is thrown, after all calls have returned.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& f);

using Bytes = std::vector<uint8_t>;
Bytes read_file(const std::string& path, int64_t most = -1);  // at most `most` bytes, if that is not negative
int64_t file_bytes(const std::string& path);                  // throws Error if there is no such file
bool file_exists(const std::string& path);
// The first of dir/name over `names` that exists, or empty.
std::string find_file(const std::string& dir, std::span<const std::string> names);

using SetPointer = std::shared_ptr<ImageSet>;
SetPointer open_cifar10(const std::string& dir, const OpenOptions&);
SetPointer open_cifar100(const std::string& dir, const OpenOptions&);
SetPointer open_mnist(const std::string& dir, const OpenOptions&);
SetPointer open_stl10(const std::string& dir, const OpenOptions&);
SetPointer open_folder(const std::string& dir, const OpenOptions&);
SetPointer open_tar(const std::string& files, const OpenOptions&);
SetPointer open_zip(const std::string& files, const OpenOptions&);
SetPointer open_list(const std::string& path, const OpenOptions&);
SetPointer open_packed(const std::string& path, const OpenOptions&);
SetPointer open_shapes(const std::string& count_and_size, const OpenOptions&);

}  // namespace gestalt
