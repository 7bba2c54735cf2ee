// `mnist:DIR`: IDX files (LeCun, Cortes and Burges), plain or gzipped, of grey images and labels 0 to 9.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "engine/data/images/sources.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

uint32_t big(const Bytes& b, size_t at) {
  return static_cast<uint32_t>(b[at]) << 24 | static_cast<uint32_t>(b[at + 1]) << 16 |
         static_cast<uint32_t>(b[at + 2]) << 8 | b[at + 3];
}

// Inflates step by step, so that memory grows with what is there, not with what a header says.
Bytes inflate_gzip(const Bytes& packed, const std::string& path) {
  constexpr size_t step = 1 << 20, most = size_t{1} << 32;
  z_stream z{};
  check(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK, "[data] zlib failed to start for {}", path);
  struct End {
    z_stream* z;
    ~End() { inflateEnd(z); }
  } end{&z};
  z.next_in = const_cast<Bytef*>(packed.data());
  z.avail_in = static_cast<uInt>(packed.size());
  Bytes bytes;
  for (int state = Z_OK; state != Z_STREAM_END;) {
    const size_t had = bytes.size();
    check(had < most, "[data] {} unpacks to more than {} bytes, which no IDX file of images has", path, most);
    bytes.resize(had + step);
    z.next_out = bytes.data() + had;
    z.avail_out = step;
    state = inflate(&z, Z_NO_FLUSH);
    bytes.resize(had + step - z.avail_out);
    check(state == Z_STREAM_END || (state == Z_OK && z.avail_out < step),
          "[data] {} is a damaged or truncated gzip file; download it again", path);
  }
  return bytes;
}

struct Idx {
  std::vector<int64_t> extents;
  Bytes bytes;      // header and data
  size_t data = 0;  // where the data begins
};

// Unsigned bytes in `rank` dimensions whose product is exactly what follows the header.
Idx read_idx(const std::string& path, int rank) {
  Idx idx;
  idx.bytes = read_file(path);
  check(idx.bytes.size() <= UINT32_MAX, "[data] {} is too long for an IDX file", path);
  if (idx.bytes.size() >= 2 && idx.bytes[0] == 0x1f && idx.bytes[1] == 0x8b) idx.bytes = inflate_gzip(idx.bytes, path);
  idx.data = 4 + 4 * static_cast<size_t>(rank);
  check(idx.bytes.size() >= idx.data, "[data] {} is {} bytes long, shorter than its header", path, idx.bytes.size());
  const uint32_t magic = big(idx.bytes, 0), expected = 0x0800u | static_cast<uint32_t>(rank);
  check(magic == expected, "[data] {} begins with {:#010x}, expected {:#010x} (IDX, unsigned bytes, {} dimensions)",
        path, magic, expected, rank);
  const uint64_t present = idx.bytes.size() - idx.data;
  uint64_t product = 1;
  for (int i = 0; i < rank; ++i) {
    const uint64_t extent = big(idx.bytes, 4 + 4 * static_cast<size_t>(i));
    check(extent > 0 && product <= present / extent, "[data] {} says it holds more than its {} bytes", path, present);
    product *= extent;
    idx.extents.push_back(static_cast<int64_t>(extent));
  }
  check(product == present, "[data] {} holds {} bytes of data, its header says {}", path, present, product);
  return idx;
}

std::string find_idx(const std::string& dir, const std::string& stem, const std::string& kind) {
  std::vector<std::string> names;
  for (const char* joint : {"-", "."})
    for (const char* end : {"", ".gz"}) names.push_back(stem + joint + kind + "-ubyte" + end);
  for (const std::string& in : {dir, dir + "/raw", dir + "/MNIST/raw", dir + "/FashionMNIST/raw"})
    if (std::string path = find_file(in, names); !path.empty()) return path;
  fail("[data] {}/{} is missing (also looked for {}); give the folder of the IDX files", dir, names[0],
       fmt::join(names.begin() + 1, names.end(), ", "));
}

}  // namespace

SetPointer open_mnist(const std::string& dir, const OpenOptions& options) {
  const bool test = options.split == "test";
  const std::string stem = test ? "t10k" : "train", labels_path = find_idx(dir, stem + "-labels", "idx1");
  const std::string images_path = find_idx(dir, stem + "-images", "idx3");
  const Idx images = read_idx(images_path, 3), labels = read_idx(labels_path, 1);
  const int64_t count = images.extents[0], height = images.extents[1], width = images.extents[2];
  check(labels.extents[0] == count, "[data] {} holds {} labels for the {} images of {}", labels_path, labels.extents[0],
        count, images_path);
  check(height <= 4096 && width <= 4096, "[data] {} holds images of {} x {}, expected at most 4096 x 4096", images_path,
        width, height);
  ResidentSet::Parts parts;
  parts.name = "mnist";
  parts.split = test ? "test" : "train";
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t label = labels.bytes[labels.data + static_cast<size_t>(i)];
    check(label < 10, "[data] {} has label {} at {}, expected 0 to 9", labels_path, label, i);
    parts.labels.push_back(label);
  }
  for (int c = 0; c < 10; ++c) parts.class_names.push_back(std::to_string(c));
  parts.frames = even_frames(count, static_cast<int32_t>(height), static_cast<int32_t>(width));
  parts.pixels = Tensor::empty({count * height * width * 3}, DType::u8);
  uint8_t* to = parts.pixels.data<uint8_t>();
  for (size_t i = images.data; i < images.bytes.size(); ++i, to += 3) std::fill(to, to + 3, images.bytes[i]);
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace gestalt
