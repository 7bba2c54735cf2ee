// Sets of image files, wherever these lie: decoded as they are needed or held in memory.
#include "engine/data/images/file_set.h"

#include <algorithm>

#include "engine/run/checksum.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

// The header of a file, from its first bytes if they suffice.
ImageSize size_in_header(const ImageFiles& files, int64_t index) {
  constexpr int64_t first = 1 << 16;
  const Bytes bytes = files.read(index, first);
  try {
    return read_image_size(bytes);
  } catch (const Error&) {
    if (static_cast<int64_t>(bytes.size()) < first) throw;
  }
  return read_image_size(files.read(index, -1));
}

int64_t decoded_bytes(const ImageSize& stored, const DecodeOptions& decode) {
  const ImageSize size = decoded_size(stored, decode);
  return static_cast<int64_t>(size.height) * size.width * 3;
}

class FileSet : public ImageSet {
 public:
  FileSet(ImageFiles files, const OpenOptions& options) : files_(std::move(files)), split_(options.split) {
    if (!files_.note.empty()) files_.note = " (" + files_.note + ")";
    name_ = files_.name;
    size_ = files_.names.size();
    if (size_ == 0) throw EmptySplit(fmt::format("[data] {} has no images in its {} split", name_, split_));
    labels_ = std::move(files_.labels);
    class_names_ = std::move(files_.class_names);
    report_ = std::move(files_.report);
    damage_limit_ = options.damage_limit;
    decode_.short_side = options.decode_size;
    decode_.crop = options.decode_crop;
  }

  std::string describe() const override {
    return fmt::format("{} {}: {} image files, {}, decoded as they are needed{}", name_, split_, size_, class_text(),
                       files_.note);
  }
  bool resident() const override { return false; }
  std::string image_name(int64_t index) const override { return files_.names[static_cast<size_t>(index)]; }
  std::string image_path(int64_t index) const override { return files_.path ? files_.path(index) : ""; }
  ImageSize stored_size(int64_t index) const override {
    try {
      return size_in_header(files_, index);
    } catch (const Error&) { return {}; }
  }
  uint64_t checksum() const override {
    Checksum sum;
    for (int64_t i = 0; i < size(); ++i) sum.add(files_.identity(i)).add(files_.bytes(i));
    return sum.value();
  }

  Image decode(int64_t index) const override {
    try {
      return decode_image(files_.read(index, -1), decode_);
    } catch (const Error& error) { throw DamagedImage({files_.identity(index), error.what()}); }
  }

  // Whether the decoded images fit `budget` bytes, judged by up to 256 of them.
  bool likely_fits(int64_t budget) const {
    const int64_t step = std::max<int64_t>(1, size() / 256);
    double bytes = 0;
    int64_t read = 0;
    for (int64_t i = 0; i < size(); i += step) {
      const int64_t b = bytes_of(i);
      bytes += static_cast<double>(b), read += b > 0;
    }
    return read > 0 && bytes / static_cast<double>(read) * static_cast<double>(size()) <= static_cast<double>(budget);
  }

  // The same set decoded into memory, without its damaged images; null if it does not fit after all.
  SetPointer load(const OpenOptions& options);

 private:
  int64_t bytes_of(int64_t index) const {  // 0 for a damaged file
    try {
      return decoded_bytes(size_in_header(files_, index), decode_);
    } catch (const Error&) { return 0; }
  }

  ImageFiles files_;
  std::string split_;
  DecodeOptions decode_;
};

SetPointer FileSet::load(const OpenOptions& options) {
  std::vector<int64_t> offset(size_ + 1, 0);
  parallel_for(size(), options.threads, [&](int64_t i) { offset[i + 1] = bytes_of(i); });
  for (size_t i = 0; i < size_; ++i) offset[i + 1] += offset[i];
  if (offset[size_] > options.resident_bytes) return nullptr;
  ResidentSet::Parts parts;
  parts.pixels = Tensor::empty({offset[size_]}, DType::u8);
  uint8_t* pixels = parts.pixels.data<uint8_t>();
  std::vector<kernels::Frame> frames(size_);
  std::vector<uint8_t> good(size_, 0);
  parallel_for(size(), options.threads, [&](int64_t i) {
    try {
      const Image image = decode(i);
      if (static_cast<int64_t>(image.pixels.size()) != offset[i + 1] - offset[i])
        throw DamagedImage({files_.identity(i), "changed while it was read"});
      std::copy(image.pixels.begin(), image.pixels.end(), pixels + offset[i]);
      frames[i] = {offset[i], image.height, image.width};
      good[i] = 1;
    } catch (const DamagedImage& damaged) { note_damage(i, damaged.damage); }
  });
  check_damage();
  for (size_t i = 0; i < size_; ++i) {
    if (!good[i]) continue;
    parts.frames.push_back(frames[i]);
    if (!labels_.empty()) parts.labels.push_back(labels_[i]);
    parts.image_names.push_back(image_name(static_cast<int64_t>(i)));
    if (files_.path) parts.image_paths.push_back(files_.path(static_cast<int64_t>(i)));
  }
  parts.name = name_, parts.split = split_, parts.note = files_.note;
  parts.class_names = class_names_;
  parts.report = damage();
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace

SetPointer open_files(ImageFiles files, const OpenOptions& options) {
  auto set = std::make_shared<FileSet>(std::move(files), options);
  if (set->likely_fits(options.resident_bytes))
    if (SetPointer loaded = set->load(options)) return loaded;
  return set;
}

}  // namespace gestalt
