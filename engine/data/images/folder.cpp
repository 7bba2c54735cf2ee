// `images:DIR`: any tree of image files, decoded as they are needed or held in memory.
#include <filesystem>

#include "engine/data/images/image_tree.h"
#include "engine/data/images/sources.h"
#include "engine/run/checksum.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

// The header of a file, from its first bytes if they suffice.
ImageSize stored_size(const std::string& path) {
  constexpr int64_t first = 1 << 16;
  const Bytes bytes = read_file(path, first);
  try {
    return read_image_size(bytes);
  } catch (const Error&) {
    if (static_cast<int64_t>(bytes.size()) < first) throw;
  }
  return read_image_size(read_file(path));
}

int64_t decoded_bytes(const ImageSize& stored, const DecodeOptions& decode) {
  const ImageSize size = decoded_size(stored, decode);
  return static_cast<int64_t>(size.height) * size.width * 3;
}

class FolderSet : public ImageSet {
 public:
  FolderSet(const std::string& name, ImageTree tree, const OpenOptions& options)
      : root_(tree.root),
        below_(tree.below),
        files_(std::move(tree.files)),
        note_(tree.note.empty() ? "" : " (" + tree.note + ")"),
        split_(options.split) {
    name_ = name;
    size_ = files_.size();
    labels_ = std::move(tree.labels);
    class_names_ = std::move(tree.class_names);
    report_ = std::move(tree.report);
    damage_limit_ = options.damage_limit;
    decode_.short_side = options.decode_size;
    decode_.crop = options.decode_crop;
  }

  std::string describe() const override {
    return fmt::format("{} {}: {} image files, {}, decoded as they are needed{}", name_, split_, size_, class_text(),
                       note_);
  }
  bool resident() const override { return false; }
  std::string image_name(int64_t index) const override { return below_ + files_[static_cast<size_t>(index)]; }
  uint64_t checksum() const override {
    Checksum sum;
    std::error_code broken;  // has a size of its own, which is no file's
    for (const std::string& file : files_)
      sum.add(file).add(uint64_t{std::filesystem::file_size(root_ + "/" + file, broken)});
    return sum.value();
  }

  Image decode(int64_t index) const override {
    const std::string& file = files_[static_cast<size_t>(index)];
    try {
      return decode_image(read_file(root_ + "/" + file), decode_);
    } catch (const Error& error) { throw DamagedImage({file, error.what()}); }
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
      return decoded_bytes(stored_size(root_ + "/" + files_[static_cast<size_t>(index)]), decode_);
    } catch (const Error&) { return 0; }
  }

  std::string root_, below_;
  std::vector<std::string> files_;
  std::string note_, split_;
  DecodeOptions decode_;
};

SetPointer FolderSet::load(const OpenOptions& options) {
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
        throw DamagedImage({files_[i], "changed while it was read"});
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
  }
  parts.name = name_, parts.split = split_, parts.note = note_;
  parts.class_names = class_names_;
  parts.report = damage();
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace

SetPointer open_folder(const std::string& dir, const OpenOptions& options) {
  auto set = std::make_shared<FolderSet>("images:" + dir, read_image_tree(dir, options), options);
  if (set->likely_fits(options.resident_bytes))
    if (SetPointer loaded = set->load(options)) return loaded;
  return set;
}

}  // namespace gestalt
