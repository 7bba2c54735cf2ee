// CIFAR-10 and CIFAR-100, binary version (Krizhevsky 2009): records of label bytes and 3 planes of 32×32 pixels.
#include <algorithm>
#include <sstream>

#include "engine/data/images/sources.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr int32_t side = 32;
constexpr int64_t plane = side * side;

struct Kind {
  std::string name, folder, names_file, archive;
  std::vector<std::string> train, test;
  std::vector<int> label_limits;  // of the label bytes; the last is the one that is used
};

const Kind cifar10{"cifar10",
                   "cifar-10-batches-bin",
                   "batches.meta.txt",
                   "cifar-10-binary.tar.gz",
                   {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
                   {"test_batch.bin"},
                   {10}};
const Kind cifar100{"cifar100",   "cifar-100-binary", "fine_label_names.txt", "cifar-100-binary.tar.gz", {"train.bin"},
                    {"test.bin"}, {20, 100}};

std::vector<std::string> class_names(const std::string& path, int count) {
  std::vector<std::string> names;
  if (file_exists(path)) {
    const Bytes text = read_file(path, 1 << 16);
    std::istringstream words(std::string(text.begin(), text.end()));
    for (std::string word; words >> word;) names.push_back(word);
  }
  if (static_cast<int>(names.size()) == count) return names;
  names.clear();
  for (int i = 0; i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

void append(const Kind& kind, const std::string& path, Bytes& pixels, std::vector<int32_t>& labels) {
  const int64_t label_bytes = static_cast<int64_t>(kind.label_limits.size()), record = label_bytes + 3 * plane;
  const Bytes bytes = read_file(path);
  const int64_t count = static_cast<int64_t>(bytes.size()) / record;
  check(count > 0 && static_cast<int64_t>(bytes.size()) % record == 0,
        "[data] {} is {} bytes long, expected a multiple of {}; unpack {} again", path, bytes.size(), record,
        kind.archive);
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* at = bytes.data() + i * record;
    for (int64_t k = 0; k < label_bytes; ++k)
      check(at[k] < kind.label_limits[k], "[data] {} has label {} in record {}, expected less than {}; is it {}?", path,
            at[k], i, kind.label_limits[k], kind.name);
    labels.push_back(at[label_bytes - 1]);
    at += label_bytes;
    for (int64_t p = 0; p < plane; ++p)
      for (int c = 0; c < 3; ++c) pixels.push_back(at[c * plane + p]);
  }
}

SetPointer open(const Kind& kind, std::string dir, const OpenOptions& options) {
  const std::vector<std::string>& files = options.split == "test" ? kind.test : kind.train;
  if (!file_exists(dir + "/" + files[0])) dir += "/" + kind.folder;
  Bytes pixels;
  std::vector<int32_t> labels;
  for (const std::string& file : files) {
    const std::string path = dir + "/" + file;
    check(file_exists(path), "[data] {} is missing; give the folder of the unpacked {} (the binary version)", path,
          kind.archive);
    append(kind, path, pixels, labels);
  }
  const int64_t count = static_cast<int64_t>(labels.size());
  ResidentSet::Parts parts;
  parts.name = kind.name;
  parts.split = options.split == "test" ? "test" : "train";
  parts.pixels = Tensor::from(std::span<const uint8_t>(pixels), {static_cast<int64_t>(pixels.size())});
  parts.frames = even_frames(count, side, side);
  parts.labels = std::move(labels);
  parts.class_names = class_names(dir + "/" + kind.names_file, kind.label_limits.back());
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace

SetPointer open_cifar10(const std::string& dir, const OpenOptions& options) { return open(cifar10, dir, options); }
SetPointer open_cifar100(const std::string& dir, const OpenOptions& options) { return open(cifar100, dir, options); }

}  // namespace gestalt
