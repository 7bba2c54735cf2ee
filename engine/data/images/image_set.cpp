// Image sets: what they share, and the table of schemes.
#include "engine/data/images/image_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "engine/data/images/joined.h"
#include "engine/data/images/sources.h"
#include "engine/run/checksum.h"
#include "engine/run/fields.h"
#include "engine/run/files.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

struct Scheme {
  ImageSource source;
  SetPointer (*open)(const std::string&, const OpenOptions&);
  bool needs_place;
};

const std::vector<Scheme>& schemes() {
  static const std::vector<Scheme> table{
      {{"images", "images:DIR",
        "any tree of JPEG, PNG, BMP, GIF, WebP and TIFF files; first-level folders are labels, train/ and val/ splits"},
       open_folder,
       true},
      {{"tar", "tar:FILES",
        "the same in archives, which are not unpacked: tar, tar.gz, tar.zst; \"shard-{000..009}.tar\" or \"*.tar\" "
        "name "
        "several. Labels may lie beside the images, as 7.cls or 7.json beside 7.jpg (webdataset)"},
       open_tar,
       true},
      {{"zip", "zip:FILES", "the same in zip archives"}, open_zip, true},
      {{"list", "list:FILE", "files that a text names, a path a line, a label after a tab where there are labels"},
       open_list,
       true},
      {{"cifar10", "cifar10:DIR", "CIFAR-10, binary or for Python, a folder or the .tar.gz itself"},
       open_cifar10,
       true},
      {{"cifar100", "cifar100:DIR", "CIFAR-100, likewise"}, open_cifar100, true},
      {{"mnist", "mnist:DIR", "MNIST or Fashion-MNIST (IDX files, gzip accepted)"}, open_mnist, true},
      {{"stl10", "stl10:DIR", "STL-10, binary version (unlabeled_X.bin, …)"}, open_stl10, true},
      {{"packed", "packed:FILE", "one file of decoded images, made by `gestalt pack`"}, open_packed, true},
      {{"shapes", "shapes[:COUNT[:SIZE]]", "built-in: drawn shapes, class = shape and texture"}, open_shapes, false}};
  return table;
}

}  // namespace

std::string DamageReport::text(size_t most) const {
  std::string text = fmt::format("{} damaged, {} not an image", damaged.size(), not_image_count);
  const size_t damages = std::min(most, damaged.size()), others = std::min(most - damages, not_images.size());
  for (size_t i = 0; i < damages; ++i) text += fmt::format("\n  {} {}", damaged[i].file, damaged[i].reason);
  for (size_t i = 0; i < others; ++i) text += fmt::format("\n  {} {}", not_images[i].file, not_images[i].reason);
  const int64_t rest = static_cast<int64_t>(damaged.size() - damages - others) + not_image_count;
  if (rest > 0) text += fmt::format("\n  and {} more", rest);
  return text;
}

Tensor ImageSet::pixels() const { fail("[data] {} is not held in memory, so it has no pixels to share", name_); }
const std::vector<kernels::Frame>& ImageSet::frames() const {
  fail("[data] {} is not held in memory, so it has no frames to share", name_);
}

std::string ImageSet::class_text() const {
  if (labels_.empty()) return "unlabelled";
  return fmt::format("{} class{}", class_names_.size(), class_names_.size() == 1 ? "" : "es");
}

ImageSize ImageSet::stored_size(int64_t index) const {
  try {
    const Image image = decode(index);
    return {.format = {}, .height = image.height, .width = image.width};
  } catch (const DamagedImage&) { return {}; }
}

bool ImageSet::known_damaged(int64_t index) const {
  std::lock_guard lock(mutex_);
  return found_.contains(index);
}

void ImageSet::note_damage(int64_t index, Damage damage) {
  std::lock_guard lock(mutex_);
  found_.emplace(index, std::move(damage));
}

void ImageSet::check_damage() const {
  std::lock_guard lock(mutex_);
  if (static_cast<double>(found_.size()) <= damage_limit_ * static_cast<double>(size_)) return;
  DamageReport report;
  for (const auto& [index, damage] : found_) report.damaged.push_back(damage);
  fail(
      "[data] more than {:g} % of the {} images of {} are unreadable; mend or remove them, or raise --damage-limit: {}",
      damage_limit_ * 100, size_, name_, report.text());
}

bool ImageSet::decode_or_note(int64_t index, Image& image) {
  image = {};
  if (known_damaged(index)) return false;
  try {
    image = decode(index);
    return true;
  } catch (const DamagedImage& damaged) {
    note_damage(index, damaged.damage);
    check_damage();
    return false;
  }
}

uint64_t ImageSet::checksum() const {
  constexpr int64_t block = 1 << 20, most_blocks = 8 << 10;
  Checksum sum;
  if (!resident()) {
    for (int64_t i = 0; i < size(); i += std::max<int64_t>(1, size() / 64)) {
      try {
        const Image image = decode(i);
        sum.add(image.pixels.data(), image.pixels.size());
      } catch (const DamagedImage& damaged) { sum.add(damaged.damage.file); }
    }
    return sum.value();
  }
  for (const kernels::Frame& f : frames()) sum.add(static_cast<uint64_t>(f.height)).add(static_cast<uint64_t>(f.width));
  const Tensor all = pixels();
  const int64_t bytes = all.count(), blocks = (bytes + block - 1) / block;
  for (int64_t i = 0; i < blocks; i += std::max<int64_t>(1, blocks / most_blocks))
    sum.add(all.data<uint8_t>() + i * block, static_cast<size_t>(std::min(block, bytes - i * block)));
  return sum.value();
}

int64_t ImageSet::decode_or_next(int64_t index, Image& image) {
  for (size_t tries = 0; tries < size_; ++tries, index = (index + 1) % size())
    if (decode_or_note(index, image)) return index;
  fail("[data] no image of {} can be read", name_);
}

DamageReport ImageSet::damage() const {
  std::lock_guard lock(mutex_);
  DamageReport report = report_;
  for (const auto& [index, damage] : found_) report.damaged.push_back(damage);
  return report;
}

std::vector<std::string> cut_sources(const std::string& spec) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t comma = spec.find(','); comma != std::string::npos; comma = spec.find(',', comma + 1)) {
    if (!names_images(spec.substr(comma + 1))) continue;
    parts.push_back(spec.substr(begin, comma - begin));
    begin = comma + 1;
  }
  parts.push_back(spec.substr(begin));
  for (std::string& part : parts) part = expand_home(part);
  return parts;
}

bool names_images(const std::string& spec) {
  return std::any_of(schemes().begin(), schemes().end(), [&](const Scheme& known) {
    const std::string& scheme = known.source.scheme;
    return spec.starts_with(scheme + ":") || (spec == scheme && !known.needs_place);
  });
}

bool names_image_files(const std::string& spec) {
  const std::vector<std::string> parts = cut_sources(spec);
  return std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part.starts_with("images:") || part.starts_with("tar:") || part.starts_with("zip:") ||
           part.starts_with("list:");
  });
}

SetPointer open_images(const std::string& spec, const OpenOptions& options) {
  if (const std::vector<std::string> parts = cut_sources(spec); parts.size() > 1) return open_joined(parts, options);
  const size_t colon = spec.find(':');
  const std::string scheme = spec.substr(0, colon), place = colon == std::string::npos ? "" : spec.substr(colon + 1);
  check(options.split == "train" || options.split == "test" || options.split == "pretrain",
        "[data] got split \"{}\", expected train, test or pretrain", options.split);
  for (const Scheme& known : schemes()) {
    if (known.source.scheme != scheme) continue;
    check(!known.needs_place || !place.empty(), "[data] got \"{}\", expected {}", spec, known.source.usage);
    SetPointer set = known.open(place, options);
    if (options.unlabelled) set->forget_labels();
    return set;
  }
  std::vector<std::string> names;
  for (const Scheme& known : schemes()) names.push_back(known.source.scheme);
  for (const char* text : {"text", "jsonl", "tokens", "sums", "letters"})
    check(scheme != text, "[data] got \"{}\", which is text; expected images", spec);
  check(!std::filesystem::is_directory(spec), "[data] got \"{0}\"; for a folder of images give images:{0}", spec);
  check(
      !std::filesystem::is_regular_file(spec),
      "[data] got \"{0}\", which is a file; say what it is: tar:{0}, zip:{0}, list:{0} (paths, one a line), packed:{0} "
      "or, of text, text:{0}",
      spec);
  const std::string near = nearest(scheme, names);
  fail("[data] got \"{}\", but there is no data set kind \"{}\"; {}expected one of {}", spec, scheme,
       near.empty() ? "" : "did you mean \"" + near + "\"? ", fmt::join(names, ", "));
}

const std::vector<ImageSource>& image_sources() {
  static const std::vector<ImageSource> sources = [] {
    std::vector<ImageSource> all;
    for (const Scheme& scheme : schemes()) all.push_back(scheme.source);
    return all;
  }();
  return sources;
}

}  // namespace gestalt
