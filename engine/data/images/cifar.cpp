// CIFAR-10 and CIFAR-100 (Krizhevsky 2009), binary or for Python: label bytes and 3 planes of 32×32 pixels an image.
#include <algorithm>
#include <optional>
#include <sstream>

#include "engine/data/archive.h"
#include "engine/data/images/sources.h"
#include "engine/data/pickle.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

constexpr int32_t side = 32;
constexpr int64_t plane = side * side;

// How a set is published: records of bytes, or Python's pickles.
struct Form {
  std::string folder, names_file;
  std::vector<std::string> train, test;
};

struct Kind {
  std::string name, archive;
  Form binary, python;
  std::vector<int> label_limits;      // of the label bytes; the last is the one that is used
  std::string labels_key, names_key;  // in pickles
};

const Kind cifar10{
    "cifar10",
    "cifar-10-binary.tar.gz or cifar-10-python.tar.gz",
    {"cifar-10-batches-bin",
     "batches.meta.txt",
     {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
     {"test_batch.bin"}},
    {"cifar-10-batches-py",
     "batches.meta",
     {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"},
     {"test_batch"}},
    {10},
    "labels",
    "label_names"};
const Kind cifar100{"cifar100",
                    "cifar-100-binary.tar.gz or cifar-100-python.tar.gz",
                    {"cifar-100-binary", "fine_label_names.txt", {"train.bin"}, {"test.bin"}},
                    {"cifar-100-python", "meta", {"train"}, {"test"}},
                    {20, 100},
                    "fine_labels",
                    "fine_label_names"};

// Where the files lie: in a folder, or in an archive that is not unpacked.
class Place {
 public:
  explicit Place(const std::string& path) : path_(path) {
    if (file_exists(path)) archive_.emplace(path, [](const std::string&) { return true; });
  }
  bool has(const std::string& name) const { return archive_ ? find(name) != nullptr : file_exists(shown(name)); }
  Bytes read(const std::string& name) const { return archive_ ? archive_->read(*find(name)) : read_file(shown(name)); }
  std::string shown(const std::string& name) const { return path_ + "/" + name; }

 private:
  const Archive::Entry* find(const std::string& name) const {
    for (const Archive::Entry& entry : archive_->entries())
      if (entry.name == name) return &entry;
    return nullptr;
  }

  std::string path_;
  std::optional<Archive> archive_;
};

std::vector<std::string> class_names(const Kind& kind, const Place& place, const std::string& file, bool python) {
  std::vector<std::string> names;
  if (place.has(file)) {
    const Bytes text = place.read(file);
    if (python) {
      const Pickle pickle(text);
      if (const PickleValue* found = pickle.root().at(kind.names_key))
        for (const PickleValue* name : found->items) names.emplace_back(name->text);
    } else {
      std::istringstream words(std::string(text.begin(), text.end()));
      for (std::string word; words >> word;) names.push_back(word);
    }
  }
  const int count = kind.label_limits.back();
  if (static_cast<int>(names.size()) == count) return names;
  names.clear();
  for (int i = 0; i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

// Three planes of an image as rows of RGB.
template <class At>
void append_image(Bytes& pixels, At at) {
  for (int64_t p = 0; p < plane; ++p)
    for (int c = 0; c < 3; ++c) pixels.push_back(static_cast<uint8_t>(at(c * plane + p)));
}

void append_binary(const Kind& kind, const Bytes& bytes, const std::string& path, Bytes& pixels,
                   std::vector<int32_t>& labels) {
  const int64_t label_bytes = static_cast<int64_t>(kind.label_limits.size()), record = label_bytes + 3 * plane;
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
    append_image(pixels, [&](int64_t i) { return at[i]; });
  }
}

// A dict of "data", an array of images × 3072 bytes, and labels.
void append_python(const Kind& kind, const Bytes& bytes, const std::string& path, Bytes& pixels,
                   std::vector<int32_t>& labels) {
  try {
    const Pickle pickle(bytes);
    const PickleValue *data = pickle.root().at("data"), *list = pickle.root().at(kind.labels_key);
    check(data && list && data->kind == PickleValue::Kind::array && list->kind == PickleValue::Kind::items,
          "holds no array 'data' with a list '{}'; is it {}?", kind.labels_key, kind.name);
    const int64_t count = std::ssize(list->items), bytes_each = 3 * plane;
    check(count > 0 && data->items.size() == 2 && data->items[0]->number == count &&
              data->items[1]->number == bytes_each && data->type == "u1" &&
              std::ssize(data->text) == count * bytes_each,
          "holds {} labels, expected as many rows of {} bytes", count, bytes_each);
    const bool by_columns = data->number != 0;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t label = list->items[static_cast<size_t>(i)]->number;
      check(label >= 0 && label < kind.label_limits.back(), "has label {} of image {}, expected less than {}", label, i,
            kind.label_limits.back());
      labels.push_back(static_cast<int32_t>(label));
      append_image(pixels, [&](int64_t k) {
        return data->text[static_cast<size_t>(by_columns ? k * count + i : i * bytes_each + k)];
      });
    }
  } catch (const Error& error) { fail("[data] {} {}; unpack {} again", path, error.what(), kind.archive); }
}

SetPointer open(const Kind& kind, const std::string& path, const OpenOptions& options) {
  const Place place(path);
  const bool test = options.split == "test";
  // The form that is there, in a folder of its own or not.
  const auto first = [&](const Form& form) { return (test ? form.test : form.train)[0]; };
  const auto there = [&](const Form& form) {
    return place.has(first(form)) || place.has(form.folder + "/" + first(form));
  };
  const bool python = !there(kind.binary) && there(kind.python);
  const Form& form = python ? kind.python : kind.binary;
  const std::string below = place.has(first(form)) ? "" : form.folder + "/";
  Bytes pixels;
  std::vector<int32_t> labels;
  for (const std::string& file : test ? form.test : form.train) {
    const std::string name = below + file;
    check(place.has(name), "[data] {} is missing; give {}, or the folder it was unpacked into", place.shown(name),
          kind.archive);
    (python ? append_python : append_binary)(kind, place.read(name), place.shown(name), pixels, labels);
  }
  const int64_t count = static_cast<int64_t>(labels.size());
  ResidentSet::Parts parts;
  parts.name = kind.name;
  parts.split = options.split == "test" ? "test" : "train";
  parts.pixels = Tensor::from(std::span<const uint8_t>(pixels), {static_cast<int64_t>(pixels.size())});
  parts.frames = even_frames(count, side, side);
  parts.labels = std::move(labels);
  parts.class_names = class_names(kind, place, below + form.names_file, python);
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace

SetPointer open_cifar10(const std::string& dir, const OpenOptions& options) { return open(cifar10, dir, options); }
SetPointer open_cifar100(const std::string& dir, const OpenOptions& options) { return open(cifar100, dir, options); }

}  // namespace gestalt
