// Joining sets: numbers, names and classes.
#include "engine/data/images/joined.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include "engine/data/images/split_names.h"
#include "engine/run/checksum.h"

namespace gestalt {
namespace {

class JoinedSet : public ImageSet {
 public:
  JoinedSet(std::vector<SetPointer> sets, double damage_limit) : sets_(std::move(sets)) {
    name_ = sets_[0]->name();
    ends_.push_back(0);
    damage_limit_ = damage_limit;
    for (const SetPointer& set : sets_) {
      size_ += static_cast<size_t>(set->size());
      ends_.push_back(size());
      if (set->class_names().size() > class_names_.size()) class_names_ = set->class_names();
      const DamageReport report = set->damage();
      report_.damaged.insert(report_.damaged.end(), report.damaged.begin(), report.damaged.end());
      report_.not_images.insert(report_.not_images.end(), report.not_images.begin(), report.not_images.end());
      report_.not_image_count += report.not_image_count;
    }
  }

  std::string describe() const override {
    std::string text = sets_[0]->describe();
    for (size_t i = 1; i < sets_.size(); ++i) text.append("\n").append(sets_[i]->describe());
    return note_.empty() ? text : text + "\n" + note_;
  }
  bool resident() const override { return false; }
  uint64_t checksum() const override {
    Checksum sum;
    for (const SetPointer& set : sets_) sum.add(set->checksum());
    return sum.value();
  }
  std::string image_name(int64_t index) const override {
    const size_t part = number_of_part(index);
    return (prefixes_.empty() ? "" : prefixes_[part]) + sets_[part]->image_name(index - ends_[part]);
  }
  std::string image_path(int64_t index) const override {
    const ImageSet& set = part_of(index);
    return set.image_path(index);
  }
  ImageSize stored_size(int64_t index) const override {
    const ImageSet& set = part_of(index);
    return set.stored_size(index);
  }
  Image decode(int64_t index) const override {
    const ImageSet& set = part_of(index);
    return set.decode(index);
  }

  // What the parts were opened as, what tells their images apart, and the labels that they have together.
  void become_one(std::string name, std::string note, std::vector<std::string> prefixes,
                  std::vector<std::string> class_names, std::vector<int32_t> labels) {
    name_ = std::move(name), note_ = std::move(note), prefixes_ = std::move(prefixes);
    class_names_ = std::move(class_names), labels_ = std::move(labels);
  }

 private:
  // The set that holds image `index`, which becomes its number there.
  const ImageSet& part_of(int64_t& index) const {
    const size_t part = number_of_part(index);
    index -= ends_[part];
    return *sets_[part];
  }
  size_t number_of_part(int64_t index) const {
    return static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end() - 1, index) - ends_.begin() - 1);
  }

  std::vector<SetPointer> sets_;
  std::string note_;
  std::vector<std::string> prefixes_;
  std::vector<int64_t> ends_;  // 0, then where each set's images end
};

bool before(const std::string& a, const std::string& b) {
  const auto number = [](const std::string& s) {
    return !s.empty() && s.size() < 10 && s.find_first_not_of("0123456789") == std::string::npos;
  };
  return number(a) && number(b) ? std::stol(a) < std::stol(b) : a < b;
}

// One part of a spec with commas.
struct Part {
  SetPointer set;  // null where it has no image in the split
  std::string prefix;
  std::vector<std::string> classes;
};

// What tells a source's images from another's. Names of images in archives begin with that of the archive.
std::string prefix_of(const std::string& spec) {
  const std::string place = spec.substr(spec.find(':') + 1);
  const bool archive = spec.starts_with("tar:") || spec.starts_with("zip:");
  return archive ? place.substr(0, place.rfind('/') + 1) : place + "/";
}

Part open_part(const std::string& spec, OpenOptions options) {
  Part part{nullptr, prefix_of(spec), {}};
  try {
    part.set = open_images(spec, options);
    part.classes = part.set->class_names();
  } catch (const EmptySplit&) {  // others may have images in this split, whose labels count this part's classes too
    options.split = "train", options.hold_out = false, options.resident_bytes = 0;
    part.classes = open_images(spec, options)->class_names();
  }
  return part;
}

// The classes of all parts in order; none where one part has no labels.
std::vector<std::string> all_classes(const std::vector<Part>& parts) {
  std::vector<std::string> classes;
  for (const Part& part : parts) {
    if (part.classes.empty() || (part.set && part.set->labels().empty())) return {};
    classes.insert(classes.end(), part.classes.begin(), part.classes.end());
  }
  std::sort(classes.begin(), classes.end(), before);
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  return classes;
}

// "images:x/train,images:x/val" are two sources of one set, which may not be what was meant.
std::string note_on_splits(const std::vector<std::string>& specs) {
  const auto any = [&](SplitName::Kind kind) {
    return std::any_of(specs.begin(), specs.end(), [&](const std::string& spec) {
      const std::filesystem::path path = std::filesystem::path(spec.substr(spec.find(':') + 1) + "/").parent_path();
      return split_name(path.stem().string()).kind == kind;
    });
  };
  if (!any(SplitName::Kind::train) || !any(SplitName::Kind::test)) return "";
  return "joined, all are learned from, whatever their names; as splits they are given by the folder that holds them";
}

void append_labels(const ImageSet& set, const std::vector<std::string>& classes, std::vector<int32_t>& labels) {
  std::vector<int32_t> place;
  for (const std::string& name : set.class_names())
    place.push_back(static_cast<int32_t>(std::find(classes.begin(), classes.end(), name) - classes.begin()));
  for (int32_t label : set.labels()) labels.push_back(place[static_cast<size_t>(label)]);
}

// All pixels of sets in memory, in one block.
SetPointer copy_into_one(const JoinedSet& joined, const std::vector<SetPointer>& sets, const std::string& split,
                         const std::string& note, int64_t bytes) {
  ResidentSet::Parts parts;
  parts.name = joined.name(), parts.split = split,
  parts.note = fmt::format(" ({} sources{}{})", sets.size(), note.empty() ? "" : "; ", note);
  parts.labels = joined.labels(), parts.class_names = joined.class_names(), parts.report = joined.damage();
  parts.pixels = Tensor::empty({bytes}, DType::u8);
  int64_t offset = 0, image = 0;
  for (const SetPointer& set : sets)
    for (kernels::Frame frame : set->frames()) {
      const int64_t size = static_cast<int64_t>(frame.height) * frame.width * 3;
      std::memcpy(parts.pixels.data<uint8_t>() + offset, set->pixels().data<uint8_t>() + frame.offset,
                  static_cast<size_t>(size));
      frame.offset = offset, offset += size;
      parts.frames.push_back(frame);
      parts.image_names.push_back(joined.image_name(image));
      parts.image_paths.push_back(joined.image_path(image++));
    }
  return std::make_shared<ResidentSet>(std::move(parts));
}

int64_t bytes_of(const ImageSet& set) {
  int64_t bytes = 0;
  for (const kernels::Frame& frame : set.frames()) bytes += static_cast<int64_t>(frame.height) * frame.width * 3;
  return bytes;
}

}  // namespace

SetPointer one_after_another(std::vector<SetPointer> sets, double damage_limit) {
  return std::make_shared<JoinedSet>(std::move(sets), damage_limit);
}

SetPointer open_joined(const std::vector<std::string>& specs, const OpenOptions& options) {
  std::vector<Part> parts;
  std::unordered_set<std::string> opened;
  for (const std::string& spec : specs) {
    check(opened.insert(spec).second, "[data] got {} twice, expected it once", spec);
    parts.push_back(open_part(spec, options));
  }
  const std::string name = fmt::format("{}", fmt::join(specs, ","));
  const std::vector<std::string> classes = all_classes(parts);
  std::vector<SetPointer> sets;
  std::vector<std::string> prefixes;
  std::vector<int32_t> labels;
  int64_t bytes = 0;
  for (const Part& part : parts) {
    if (!part.set) continue;
    sets.push_back(part.set);
    prefixes.push_back(part.prefix);
    if (!classes.empty()) append_labels(*part.set, classes, labels);
    bytes += part.set->resident() ? bytes_of(*part.set) : options.resident_bytes + 1;
  }
  if (sets.empty()) throw EmptySplit(fmt::format("[data] {} has no images in its {} split", name, options.split));
  const auto joined = std::make_shared<JoinedSet>(sets, options.damage_limit);
  const std::string note = note_on_splits(specs);
  joined->become_one(name, note, prefixes, classes, labels);
  return bytes <= options.resident_bytes ? copy_into_one(*joined, sets, options.split, note, bytes) : joined;
}

}  // namespace gestalt
