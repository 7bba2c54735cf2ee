// `stl10:DIR`: STL-10, binary version (Coates, Lee and Ng 2011): 96×96 pixels, 3 planes, each column by column.
#include <algorithm>
#include <sstream>

#include "engine/data/images/sources.h"
#include "engine/data/mapped_file.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr int32_t side = 96;
constexpr int64_t plane = side * side, image_bytes = 3 * plane;

void turn(const uint8_t* from, uint8_t* to) {
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x)
      for (int64_t c = 0; c < 3; ++c) *to++ = from[c * plane + x * side + y];
}

struct Files {
  std::string split;
  std::shared_ptr<MappedFile> images;
  int64_t count;
  std::vector<int32_t> labels;
  std::vector<std::string> class_names;
};

std::vector<int32_t> read_labels(const std::string& path, int64_t count) {
  const Bytes bytes = read_file(path);
  check(static_cast<int64_t>(bytes.size()) == count, "[data] {} holds {} labels for {} images", path, bytes.size(),
        count);
  std::vector<int32_t> labels;
  for (uint8_t label : bytes) {
    check(label >= 1 && label <= 10, "[data] {} has label {} at {}, expected 1 to 10", path, label, labels.size());
    labels.push_back(label - 1);
  }
  return labels;
}

Files read_files(std::string dir, const OpenOptions& options) {
  if (!file_exists(dir + "/train_X.bin") && file_exists(dir + "/stl10_binary/train_X.bin")) dir += "/stl10_binary";
  Files files;
  const bool unlabelled = options.split == "pretrain" && file_exists(dir + "/unlabeled_X.bin");
  files.split = unlabelled ? "unlabeled" : options.split == "test" ? "test" : "train";
  const std::string path = dir + "/" + files.split + "_X.bin";
  check(file_exists(path), "[data] {} is missing; give the folder of the unpacked stl10_binary.tar.gz", path);
  files.images = std::make_shared<MappedFile>(path);
  const auto bytes = static_cast<int64_t>(files.images->bytes().size());
  check(bytes % image_bytes == 0, "[data] {} is {} bytes long, expected a multiple of {}; unpack it again", path, bytes,
        image_bytes);
  files.count = bytes / image_bytes;
  if (unlabelled) return files;
  files.labels = read_labels(dir + "/" + files.split + "_y.bin", files.count);
  if (const std::string names = dir + "/class_names.txt"; file_exists(names)) {
    const Bytes text = read_file(names, 1 << 16);
    std::istringstream words(std::string(text.begin(), text.end()));
    for (std::string word; words >> word;) files.class_names.push_back(word);
  }
  if (files.class_names.size() != 10) {
    files.class_names.clear();
    for (int c = 1; c <= 10; ++c) files.class_names.push_back(std::to_string(c));
  }
  return files;
}

// Left in the mapped file and turned image by image.
class StreamedStl10 : public ImageSet {
 public:
  explicit StreamedStl10(Files files) : images_(std::move(files.images)), split_(std::move(files.split)) {
    name_ = "stl10";
    size_ = static_cast<size_t>(files.count);
    labels_ = std::move(files.labels);
    class_names_ = std::move(files.class_names);
  }
  std::string describe() const override {
    return fmt::format("{} {}: {} images of {} x {}, {}, read as they are needed", name_, split_, size_, side, side,
                       class_text());
  }
  bool resident() const override { return false; }
  std::string image_name(int64_t index) const override { return fmt::format("{}/{}", split_, index); }
  Image decode(int64_t index) const override {
    Image image{Bytes(static_cast<size_t>(image_bytes)), side, side};
    turn(images_->bytes().data() + index * image_bytes, image.pixels.data());
    return image;
  }

 private:
  std::shared_ptr<MappedFile> images_;
  std::string split_;
};

}  // namespace

SetPointer open_stl10(const std::string& dir, const OpenOptions& options) {
  Files files = read_files(dir, options);
  if (files.count * image_bytes > options.resident_bytes) return std::make_shared<StreamedStl10>(std::move(files));
  ResidentSet::Parts parts;
  parts.name = "stl10", parts.split = files.split;
  parts.labels = std::move(files.labels), parts.class_names = std::move(files.class_names);
  parts.frames = even_frames(files.count, side, side);
  parts.pixels = Tensor::empty({files.count * image_bytes}, DType::u8);
  uint8_t* pixels = parts.pixels.data<uint8_t>();
  const uint8_t* stored = files.images->bytes().data();
  parallel_for(files.count, options.threads,
               [&](int64_t i) { turn(stored + i * image_bytes, pixels + i * image_bytes); });
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace gestalt
