// `packed:FILE`: decoded images of one size in one file that is mapped, not read.
//
// Little-endian: PackedHeader; class names, each a u32 length and its bytes; one i32 label an image, if labelled; zeros
// up to `data_offset`, a multiple of 64; count × height × width × 3 bytes of pixels, which end the file.
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>

#include "engine/data/images/sources.h"
#include "engine/data/mapped_file.h"
#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

static_assert(std::endian::native == std::endian::little, "packed files are mapped as they are");

struct PackedHeader {
  char magic[8];
  uint32_t version, height, width, channels;
  uint64_t count, data_offset;
  uint32_t names_bytes, class_count, labelled;
  uint32_t checksum;  // CRC-32 of this header with a checksum of 0, the names and the labels
};
static_assert(sizeof(PackedHeader) == 56);

constexpr char magic[8] = {'G', 'E', 'S', 'T', 'A', 'L', 'T', 'P'};
constexpr uint32_t version = 1;
constexpr uint64_t alignment = 64;

uint32_t checksum(PackedHeader header, std::span<const uint8_t> table) {
  header.checksum = 0;
  const uLong start = crc32_z(0, reinterpret_cast<const Bytef*>(&header), sizeof header);
  // For a null pointer, which an empty table may have, zlib starts anew.
  return static_cast<uint32_t>(table.empty() ? start : crc32_z(start, table.data(), table.size()));
}

// Names and labels, as they follow the header.
Bytes table_bytes(const std::vector<std::string>& names, const std::vector<int32_t>& labels) {
  Bytes bytes;
  auto append = [&](const void* from, size_t size) {
    const auto* at = static_cast<const uint8_t*>(from);
    bytes.insert(bytes.end(), at, at + size);
  };
  for (const std::string& name : names) {
    const auto length = static_cast<uint32_t>(name.size());
    append(&length, sizeof length);
    append(name.data(), name.size());
  }
  append(labels.data(), labels.size() * sizeof(int32_t));
  return bytes;
}

// A header whose sums fit the file. Every product is checked by dividing first.
PackedHeader checked_header(std::span<const uint8_t> file, const std::string& path) {
  PackedHeader h;
  check(file.size() >= sizeof h, "[data] {} is {} bytes long, too short for a packed file", path, file.size());
  std::memcpy(&h, file.data(), sizeof h);
  check(std::memcmp(h.magic, magic, 8) == 0, "[data] {} is not a packed file; make one with `gestalt pack`", path);
  check(h.version == version, "[data] {} has packed version {}, expected {}; pack it again", path, h.version, version);
  check(h.channels == 3 && h.height >= 1 && h.height <= 65'535 && h.width >= 1 && h.width <= 65'535,
        "[data] {} is damaged: images of {} x {} x {}", path, h.height, h.width, h.channels);
  check(h.data_offset % alignment == 0 && h.data_offset >= sizeof h && h.data_offset <= file.size(),
        "[data] {} is damaged: its pixels begin at byte {}", path, h.data_offset);
  const uint64_t image = uint64_t{3} * h.height * h.width, pixels = file.size() - h.data_offset;
  check(h.count >= 1 && h.count <= INT32_MAX && pixels / image == h.count && pixels % image == 0,
        "[data] {} is truncated or damaged: {} bytes of pixels for {} images of {} bytes", path, pixels, h.count,
        image);
  const uint64_t labels = h.labelled ? h.count * sizeof(int32_t) : 0, room = h.data_offset - sizeof h;
  check(h.labelled <= 1 && labels <= room && h.names_bytes <= room - labels,
        "[data] {} is damaged: its tables do not fit before its pixels", path);
  check(checksum(h, file.subspan(sizeof h, h.names_bytes + labels)) == h.checksum,
        "[data] {} is damaged: the checksum of its header differs", path);
  return h;
}

std::vector<std::string> read_names(std::span<const uint8_t> bytes, uint32_t count, const std::string& path) {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t length = 0;
    check(bytes.size() >= sizeof length, "[data] {} is damaged: class names are missing", path);
    std::memcpy(&length, bytes.data(), sizeof length);
    bytes = bytes.subspan(sizeof length);
    check(length <= bytes.size(), "[data] {} is damaged: a class name is too long", path);
    names.emplace_back(bytes.begin(), bytes.begin() + length);
    bytes = bytes.subspan(length);
  }
  check(bytes.empty(), "[data] {} is damaged: more names than classes", path);
  return names;
}

}  // namespace

SetPointer open_packed(const std::string& path, const OpenOptions& options) {
  auto mapped = std::make_shared<MappedFile>(path);
  const std::span<const uint8_t> file = mapped->bytes();
  const PackedHeader h = checked_header(file, path);
  const std::vector<std::string> names = read_names(file.subspan(sizeof h, h.names_bytes), h.class_count, path);
  std::vector<int32_t> labels(h.labelled ? h.count : 0);
  if (h.labelled) std::memcpy(labels.data(), file.data() + sizeof h + h.names_bytes, h.count * sizeof(int32_t));
  for (int32_t label : labels)
    check(label >= 0 && static_cast<uint32_t>(label) < h.class_count, "[data] {} is damaged: label {} of {} classes",
          path, label, h.class_count);
  const auto height = static_cast<int32_t>(h.height), width = static_cast<int32_t>(h.width);
  const std::vector<kernels::Frame> frames = even_frames(static_cast<int64_t>(h.count), height, width);
  const std::string file_name = std::filesystem::path(path).filename().string();
  ResidentSet::Parts parts;
  for (int64_t i : held_out_split(static_cast<int64_t>(h.count), labels, options)) {
    parts.frames.push_back(frames[i]);
    if (h.labelled) parts.labels.push_back(labels[i]);
    parts.image_names.push_back(fmt::format("{}/{}", file_name, i));
  }
  parts.name = "packed:" + path, parts.split = options.split == "test" ? "test" : "train";
  parts.class_names = names;
  parts.pixels = Tensor::borrow(file.data() + h.data_offset, {static_cast<int64_t>(file.size() - h.data_offset)},
                                DType::u8, mapped);
  return std::make_shared<ResidentSet>(std::move(parts));
}

void write_packed(ImageSet& set, const std::string& path, int32_t side, int threads) {
  check(side >= 0 && side <= 65'535, "[pack] got size {}, expected 0 to 65535", side);
  constexpr int64_t chunk = 256;
  PackedHeader h{};
  std::memcpy(h.magic, magic, 8);
  h.version = version, h.channels = 3, h.labelled = !set.labels().empty();
  h.class_count = h.labelled ? static_cast<uint32_t>(set.class_names().size()) : 0;
  const std::vector<std::string> names = h.labelled ? set.class_names() : std::vector<std::string>();
  h.names_bytes = static_cast<uint32_t>(table_bytes(names, {}).size());
  const uint64_t most =
      sizeof h + h.names_bytes + (h.labelled ? sizeof(int32_t) * static_cast<uint64_t>(set.size()) : 0);
  h.data_offset = (most + alignment - 1) / alignment * alignment;
  AtomicFile file(path);
  file.seek(static_cast<int64_t>(h.data_offset));
  std::vector<int32_t> labels;
  for (int64_t begin = 0; begin < set.size(); begin += chunk) {
    std::vector<Image> images(static_cast<size_t>(std::min(chunk, set.size() - begin)));
    parallel_for(static_cast<int64_t>(images.size()), threads, [&](int64_t i) {
      if (set.decode_or_note(begin + i, images[i])) images[i] = resize_image(std::move(images[i]), {side, side > 0});
    });
    for (size_t i = 0; i < images.size(); ++i) {
      const Image& image = images[i];
      if (image.pixels.empty()) continue;
      if (h.count++ == 0) h.height = static_cast<uint32_t>(image.height), h.width = static_cast<uint32_t>(image.width);
      check(h.height == static_cast<uint32_t>(image.height) && h.width == static_cast<uint32_t>(image.width),
            "[pack] got images of {} x {} and {} x {}, expected one size; give a --size", h.width, h.height,
            image.width, image.height);
      file.write(image.pixels.data(), image.pixels.size());
      if (h.labelled) labels.push_back(set.labels()[static_cast<size_t>(begin) + i]);
    }
  }
  check(h.count > 0, "[pack] no image of {} can be read", set.name());
  const Bytes table = table_bytes(names, labels);
  h.checksum = checksum(h, table);
  file.seek(0);
  file.write(&h, sizeof h);
  file.write(table.data(), table.size());
  file.commit();
}

}  // namespace gestalt
