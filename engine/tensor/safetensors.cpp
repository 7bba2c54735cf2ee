// Reading and writing safetensors files; the reader checks before every addition and multiplication.
#include "engine/tensor/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <set>
#include <string_view>

#include "engine/run/checksum.h"
#include "engine/run/fields.h"
#include "engine/run/files.h"
#include "engine/run/json.h"
#include "engine/run/utf8.h"

namespace gestalt {
namespace {

constexpr uint64_t max_header = 100'000'000;
constexpr const char* metadata_key = "__metadata__";
// One checksum a tensor, in the order of the header; and the header's, taken with zeros in its place.
constexpr const char* tensors_key = "gestalt.checksums";
constexpr const char* header_key = "gestalt.header_checksum";
constexpr size_t checksum_digits = 16;

struct FileDType {
  const char* name;
  DType dtype;
  uint64_t size;  // bytes of an element in the file
  bool as_i64 = false, as_f16 = false;
};
// The first of a dtype is what it is written as.
constexpr FileDType file_dtypes[] = {{"F32", DType::f32, 4},       {"BF16", DType::bf16, 2},
                                     {"F64", DType::f64, 8},       {"U8", DType::u8, 1},
                                     {"I32", DType::i32, 4},       {"BOOL", DType::u8, 1},
                                     {"I64", DType::i32, 8, true}, {"F16", DType::f32, 2, false, true}};

const FileDType& file_dtype(DType dtype, bool as_i64) {
  return *std::find_if(std::begin(file_dtypes), std::end(file_dtypes),
                       [&](const FileDType& d) { return d.dtype == dtype && d.as_i64 == as_i64; });
}

// What the header says of one tensor.
struct Entry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
  std::set<std::string> keys;
  const FileDType* type = nullptr;
};

// Accepts exactly the JSON that a header may hold; the first thing that is not is an Error.
class HeaderReader : public JsonReceiver {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  std::vector<Entry> entries;
  Metadata metadata;

  void null() override { refuse("null"); }
  void boolean(bool) override { refuse("true or false"); }
  void negative(int64_t) override { refuse("a negative number"); }
  void real(double, const std::string& written) override { refuse(written); }
  void count(uint64_t value) override {
    if (!in_array_) refuse(std::to_string(value));
    std::vector<uint64_t>& list = key_ == "shape" ? entries.back().shape : entries.back().offsets;
    const size_t most = key_ == "shape" ? Shape::max_rank : 2;
    check(list.size() < most, "[safetensors] '{}': {} of '{}' has more than {} numbers", path_, key_,
          entries.back().name, most);
    list.push_back(value);
  }
  void text(std::string& value) override {
    if (depth_ == 2 && in_metadata_)
      metadata[key_] = bytes_from_utf8(value);
    else if (depth_ == 2 && key_ == "dtype")
      entries.back().dtype = value;
    else
      refuse("'" + value + "'");
  }
  void begin_object() override {
    if (in_array_ || depth_ == 2) refuse("an object");
    ++depth_;
    if (depth_ == 2) in_metadata_ = key_ == metadata_key;
    if (depth_ == 2 && !in_metadata_)
      entries.push_back({.name = key_, .dtype = {}, .shape = {}, .offsets = {}, .keys = {}});
  }
  void end_object() override {
    if (depth_ == 2 && !in_metadata_)
      check(entries.back().keys.size() == 3, "[safetensors] '{}': '{}' lacks a dtype, a shape or data_offsets", path_,
            entries.back().name);
    --depth_;
  }
  void begin_array() override {
    if (depth_ != 2 || in_metadata_ || in_array_ || key_ == "dtype") refuse("an array");
    in_array_ = true;
  }
  void end_array() override { in_array_ = false; }
  void key(std::string& name) override {
    key_ = name;
    const bool in_entry = depth_ == 2 && !in_metadata_;
    check(!in_entry || name == "dtype" || name == "shape" || name == "data_offsets",
          "[safetensors] '{}': '{}' has an unknown key '{}'", path_, in_entry ? entries.back().name : "", name);
    std::set<std::string>& keys = in_entry ? entries.back().keys : depth_ == 2 ? metadata_keys_ : names_;
    check(keys.insert(name).second, "[safetensors] '{}': the key '{}' stands twice", path_, name);
  }
  void broken(size_t byte, const char* why) override {
    fail("[safetensors] '{}': the header is not JSON at byte {}: {}", path_, byte, why);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail("[safetensors] '{}': got {} for '{}', which the format does not allow there", path_, what, key_);
  }

  std::string path_, key_;
  int depth_ = 0;
  bool in_metadata_ = false, in_array_ = false;
  std::set<std::string> names_, metadata_keys_;
};

// The entry's bytes as its dtype and shape say, or an Error if they do not fit in 64 bits.
uint64_t checked_bytes(const std::string& path, const Entry& entry) {
  uint64_t bytes = entry.type->size;
  for (uint64_t extent : entry.shape) {
    const bool fits = extent <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) &&
                      (extent == 0 || bytes <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / extent);
    check(fits, "[safetensors] '{}': the shape of '{}' is too large", path, entry.name);
    bytes *= extent;
  }
  return bytes;
}

// Resolves dtypes, and checks that the data lie one after the other from 0 to `data_bytes`.
void check_layout(const std::string& path, std::vector<Entry>& entries, uint64_t data_bytes) {
  for (Entry& entry : entries) {
    for (const FileDType& d : file_dtypes)
      if (entry.dtype == d.name) entry.type = &d;
    check(entry.type != nullptr,
          "[safetensors] '{}': got dtype '{}' of '{}', expected F32, F16, BF16, F64, U8, BOOL, I32 "
          "or I64",
          path, entry.dtype, entry.name);
    check(entry.offsets.size() == 2 && entry.offsets[0] <= entry.offsets[1] && entry.offsets[1] <= data_bytes,
          "[safetensors] '{}': data_offsets of '{}' do not lie within the {} bytes of data; the file may be cut short",
          path, entry.name, data_bytes);
    const uint64_t expected = checked_bytes(path, entry), got = entry.offsets[1] - entry.offsets[0];
    check(got == expected, "[safetensors] '{}': got {} bytes for '{}', expected {} from its dtype and shape", path, got,
          entry.name, expected);
  }
  std::vector<const Entry*> order;
  for (const Entry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) { return a->offsets < b->offsets; });
  uint64_t end = 0;
  for (const Entry* entry : order) {
    check(entry->offsets[0] == end, "[safetensors] '{}': data of '{}' begin at {}, expected {}: {}", path, entry->name,
          entry->offsets[0], end, entry->offsets[0] < end ? "tensors overlap" : "there is a hole");
    end = entry->offsets[1];
  }
  check(end == data_bytes, "[safetensors] '{}': the tensors end at {}, expected {}, the end of the file", path, end,
        data_bytes);
}

// Takes the checksums out of the metadata; empty where there are none.
std::vector<std::string> take_checksums(const std::string& path, std::string header, Metadata& metadata,
                                        size_t tensors) {
  const auto of_header = metadata.extract(header_key), of_tensors = metadata.extract(tensors_key);
  if (of_header.empty() && of_tensors.empty()) return {};
  const std::string begins = fmt::format("\"{}\":\"", header_key);
  const size_t at = header.find(begins);
  bool right = !of_header.empty() && !of_tensors.empty() && at != std::string::npos &&
               of_header.mapped().size() == checksum_digits &&
               of_tensors.mapped().size() == tensors * (checksum_digits + 1);
  if (right) {
    header.replace(at + begins.size(), checksum_digits, checksum_digits, '0');
    right = Checksum().add(header).text() == of_header.mapped();
  }
  check(right, "[safetensors] '{}' is damaged: the checksum of its header is wrong", path);
  std::vector<std::string> all;
  for (size_t i = 0; i < tensors; ++i)
    all.push_back(of_tensors.mapped().substr(i * (checksum_digits + 1), checksum_digits));
  return all;
}

// IEEE 754's binary16, exactly.
float float_of_half(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  float value = exponent == 31  ? (fraction ? std::numeric_limits<float>::quiet_NaN() : INFINITY)
                : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return half & 0x8000 ? -value : value;
}

void check_read(const std::string& path, const std::ifstream& file, const Entry& entry, const Checksum& sum,
                const std::string* expected) {
  check(file.good(), "[safetensors] '{}': cannot read the data of '{}'", path, entry.name);
  check(!expected || sum.text() == *expected, "[safetensors] '{}' is damaged: the checksum of '{}' is wrong", path,
        entry.name);
}

Tensor read_tensor(const std::string& path, std::ifstream& file, uint64_t data_begin, const Entry& entry,
                   const std::string* checksum) {
  const std::vector<int64_t> extents(entry.shape.begin(), entry.shape.end());
  Tensor tensor = Tensor::empty(Shape(std::span<const int64_t>(extents)), entry.type->dtype);
  const std::streamsize bytes = static_cast<std::streamsize>(entry.offsets[1] - entry.offsets[0]);
  Checksum sum;
  file.seekg(static_cast<std::streamoff>(data_begin + entry.offsets[0]));
  if (entry.type->as_f16) {
    std::vector<uint16_t> halves(static_cast<size_t>(tensor.count()));
    file.read(reinterpret_cast<char*>(halves.data()), bytes);
    if (checksum) sum.add(halves.data(), static_cast<size_t>(bytes));
    std::transform(halves.begin(), halves.end(), tensor.data<float>(), float_of_half);
  } else if (!entry.type->as_i64) {
    file.read(static_cast<char*>(tensor.out().data), bytes);
    if (checksum) sum.add(tensor.in().data, static_cast<size_t>(bytes));
  } else {
    std::vector<int64_t> wide(static_cast<size_t>(tensor.count()));
    file.read(reinterpret_cast<char*>(wide.data()), bytes);
    if (checksum) sum.add(wide.data(), static_cast<size_t>(bytes));
    for (int64_t v : wide)
      check(v == static_cast<int32_t>(v), "[safetensors] '{}': got {} in '{}', expected integers of 32 bits", path, v,
            entry.name);
    std::transform(wide.begin(), wide.end(), tensor.data<int32_t>(), [](int64_t v) { return static_cast<int32_t>(v); });
  }
  check_read(path, file, entry, sum, checksum);
  return tensor;
}

// Header text, padded so that the data begin at a multiple of 8, and the order in which the data follow.
std::string header_text(const std::vector<NamedTensor>& tensors, const Metadata& metadata,
                        const std::vector<size_t>& order) {
  std::vector<uint64_t> begin(tensors.size()), end(tensors.size());
  uint64_t offset = 0;
  for (size_t i : order) {
    begin[i] = offset;
    offset += static_cast<uint64_t>(tensors[i].tensor.count()) *
              file_dtype(tensors[i].tensor.dtype(), tensors[i].as_i64).size;
    end[i] = offset;
  }
  Json header = Json::object();
  for (const auto& [key, value] : metadata) header[metadata_key][key] = utf8_from_bytes(value);
  std::set<std::string> names{metadata_key};
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor, as_i64] = tensors[i];
    check(names.insert(name).second, "[safetensors] two tensors are named '{}'", name);
    const std::vector<int64_t> extents(tensor.shape().begin(), tensor.shape().end());
    header[name] = {
        {"dtype", file_dtype(tensor.dtype(), as_i64).name}, {"shape", extents}, {"data_offsets", {begin[i], end[i]}}};
  }
  // Names of files in the metadata may be bytes that are no UTF-8.
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

const Tensor& SafetensorsFile::at(const std::string& name) const {
  std::vector<std::string> names;
  for (const NamedTensor& t : tensors) {
    if (t.name == name) return t.tensor;
    names.push_back(t.name);
  }
  fail("[safetensors] there is no tensor '{}'{}", name, suggestion(name, names));
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, const Metadata& metadata,
                       bool checksums) {
  for (const NamedTensor& t : tensors)
    check(t.tensor && (!t.as_i64 || t.tensor.dtype() == DType::i32),
          "[safetensors] '{}' has no value, or is not i32 and asked to be written as I64", t.name);
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto size = [&](size_t i) { return file_dtype(tensors[i].tensor.dtype(), tensors[i].as_i64).size; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return size(a) > size(b); });

  Metadata all = metadata;
  if (checksums) {  // room for them, until they are known
    all[tensors_key] = std::string(tensors.size() * (checksum_digits + 1), '0');
    all[header_key] = std::string(checksum_digits, '0');
  }
  std::string header = header_text(tensors, all, order);
  check(header.size() <= max_header, "[safetensors] '{}': the header has {} bytes, the format allows {}", path,
        header.size(), max_header);
  const uint64_t header_bytes = header.size();
  AtomicFile file(path);
  file.write(&header_bytes, sizeof header_bytes);
  file.seek(static_cast<int64_t>(sizeof header_bytes + header_bytes));
  std::vector<std::string> sums(tensors.size());
  for (size_t i : order) {
    const Tensor host = tensors[i].tensor.to(Device::cpu);
    const void* bytes = host.in().data;
    size_t count = static_cast<size_t>(host.bytes());
    std::vector<int64_t> wide;
    if (tensors[i].as_i64) {
      wide.assign(host.data<int32_t>(), host.data<int32_t>() + host.count());
      bytes = wide.data();
      count = wide.size() * sizeof(int64_t);
    }
    file.write(bytes, count);
    if (checksums) sums[i] = Checksum().add(bytes, count).text();
  }
  if (checksums) {
    const auto fill = [&](const char* key, const std::string& value) {
      header.replace(header.find(fmt::format("\"{}\":\"", key)) + std::strlen(key) + 4, value.size(), value);
    };
    std::string joined;
    for (const std::string& sum : sums) joined += sum + " ";
    fill(tensors_key, joined);
    fill(header_key, Checksum().add(header).text());
  }
  file.seek(sizeof header_bytes);
  file.write(header);
  file.commit();
}

namespace {

// Calls each(entry, its checksum or null, file, where the data begin) for the tensors in the header's order.
template <class Each>
SafetensorsFile read_file(const std::string& path, Each&& each) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  check(kind == std::filesystem::file_type::regular, "[safetensors] '{}' is not a file{}", path,
        error ? ": " + error.message() : "");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  check(file.is_open(), "[safetensors] cannot open '{}': {}", path, std::strerror(errno));
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  uint64_t header_bytes = 0;
  check(!error && file_bytes >= 8 && file.read(reinterpret_cast<char*>(&header_bytes), 8),
        "[safetensors] '{}' has {} bytes, too few for a safetensors file", path, error ? 0 : file_bytes);
  const std::string_view begins(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
  check(!begins.starts_with("PK\3\4") && !begins.starts_with("\x80\2"),
        "[safetensors] '{0}' is an archive of PyTorch or NumPy, whatever its name says; say in Python: "
        "safetensors.torch.save_file(torch.load('{0}'), 'weights.safetensors')",
        path);
  check(begins != "version ", "[safetensors] '{}' only stands for the file, which git has elsewhere; say: git lfs pull",
        path);
  check(header_bytes <= max_header && header_bytes <= file_bytes - 8,
        "[safetensors] '{}': got a header of {} bytes, expected at most {}; this is no safetensors file, or it is cut "
        "short",
        path, header_bytes, std::min(max_header, file_bytes - 8));
  std::string header(header_bytes, '\0');
  check(bool(file.read(header.data(), static_cast<std::streamsize>(header_bytes))), "[safetensors] cannot read '{}'",
        path);
  check(header.starts_with('{'), "[safetensors] '{}': the header does not begin with '{{'", path);

  HeaderReader reader(path);
  read_json(header, reader);
  const uint64_t data_begin = 8 + header_bytes;
  check_layout(path, reader.entries, file_bytes - data_begin);
  SafetensorsFile result{{}, std::move(reader.metadata)};
  const std::vector<std::string> sums = take_checksums(path, header, result.metadata, reader.entries.size());
  result.verified = !sums.empty();
  for (size_t i = 0; i < reader.entries.size(); ++i)
    each(result, file, data_begin, reader.entries[i], sums.empty() ? nullptr : &sums[i]);
  return result;
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
  return read_file(path, [&](SafetensorsFile& to, std::ifstream& file, uint64_t data_begin, const Entry& entry,
                             const std::string* sum) {
    to.tensors.push_back({entry.name, read_tensor(path, file, data_begin, entry, sum), entry.type->as_i64});
  });
}

SafetensorsFile read_safetensors_header(const std::string& path) {
  return read_file(path, [](auto&&...) {});
}

void verify_safetensors(const std::string& path) {
  std::vector<char> buffer(1 << 18);  // stays in the caches, however large a tensor is
  read_file(path, [&](SafetensorsFile& of, std::ifstream& file, uint64_t data_begin, const Entry& entry,
                      const std::string* expected) {
    check(of.verified, "[safetensors] '{}' has no checksums to verify", path);
    Checksum sum;
    file.seekg(static_cast<std::streamoff>(data_begin + entry.offsets[0]));
    for (uint64_t left = entry.offsets[1] - entry.offsets[0]; left > 0;) {
      const size_t count = std::min<uint64_t>(left, buffer.size());
      file.read(buffer.data(), static_cast<std::streamsize>(count));
      sum.add(buffer.data(), count);
      left -= count;
    }
    check_read(path, file, entry, sum, expected);
  });
}

}  // namespace gestalt
