// `images:DIR`: any tree of image files. First-level folders that hold images are the classes.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>

#include "engine/data/images/sources.h"
#include "engine/run/checksum.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

struct Tree {
  std::vector<std::string> files;  // candidates, relative to the root, sorted
  DamageReport report;             // what is not a candidate
};

bool is_candidate(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".bmp";
}

// Follows links, but enters no folder twice. Hidden files and folders are passed over.
void walk(const fs::path& dir, const std::string& prefix, std::set<fs::path>& entered, Tree& tree) {
  std::error_code error;
  if (!entered.insert(fs::canonical(dir, error)).second) return;
  std::vector<fs::path> entries;
  fs::directory_iterator it(dir, error);
  check(!error, "[data] cannot list {}: {}", dir.string(), error.message());
  for (const fs::directory_entry& entry : it) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  for (const fs::path& path : entries) {
    const std::string name = path.filename().string();
    if (name.starts_with('.')) continue;
    if (fs::is_directory(path, error)) {
      walk(path, prefix + name + "/", entered, tree);
    } else if (is_candidate(path)) {
      tree.files.push_back(prefix + name);
    } else if (fs::is_regular_file(path, error)) {
      if (++tree.report.not_image_count <= 1000)
        tree.report.not_images.push_back({prefix + name, "is not an image (by its name)"});
    }
  }
}

Tree list_tree(const std::string& dir) {
  Tree tree;
  std::set<fs::path> entered;
  walk(dir, "", entered, tree);
  return tree;
}

// The class names of a tree: its first-level folders with images; none if images lie beside them.
std::set<std::string> classes_of(const Tree& tree) {
  std::set<std::string> names;
  for (const std::string& file : tree.files) {
    const size_t slash = file.find('/');
    if (slash == std::string::npos) return {};
    names.insert(file.substr(0, slash));
  }
  return names;
}

struct Listing {
  std::string root;  // what the files are relative to
  Tree tree;
  std::vector<int32_t> labels;
  std::vector<std::string> class_names;
  std::string note;
};

void keep(Listing& listing, const std::vector<int64_t>& kept) {
  std::vector<std::string> files;
  std::vector<int32_t> labels;
  for (int64_t i : kept) {
    files.push_back(std::move(listing.tree.files[i]));
    if (!listing.labels.empty()) labels.push_back(listing.labels[i]);
  }
  listing.tree.files = std::move(files);
  listing.labels = std::move(labels);
}

// Finds the folder of the wanted split, its files and their labels. Classes are numbered over both splits' folders, so
// that a class which one of them lacks shifts nothing.
Listing list_images(const std::string& dir, const OpenOptions& options) {
  check(fs::is_directory(dir), "[data] {} is not a folder; give the folder that holds the images", dir);
  auto has = [&](const char* name) { return fs::is_directory(dir + "/" + name); };
  const std::string test = has("test") ? "/test" : "/val";
  const bool split = has("train") && (has("test") || has("val")), want_test = options.split == "test";
  Listing listing;
  listing.root = dir + (!split ? "" : want_test ? test : "/train");
  listing.tree = list_tree(listing.root);
  check(!listing.tree.files.empty(), "[data] {} holds no .jpg, .jpeg, .png or .bmp file", listing.root);
  std::set<std::string> classes = classes_of(listing.tree);
  if (split && !classes.empty()) classes.merge(classes_of(list_tree(dir + (want_test ? "/train" : test))));
  listing.class_names.assign(classes.begin(), classes.end());
  for (const std::string& file : listing.tree.files) {
    if (classes.empty()) break;
    const auto at =
        std::lower_bound(listing.class_names.begin(), listing.class_names.end(), file.substr(0, file.find('/')));
    listing.labels.push_back(static_cast<int32_t>(at - listing.class_names.begin()));
  }
  if (classes.empty() && listing.tree.files.back().find('/') != std::string::npos)
    listing.note = " (images lie beside its folders, so these are not taken as labels)";
  if (!split) {
    keep(listing, held_out_split(static_cast<int64_t>(listing.tree.files.size()), listing.labels, options));
    check(!listing.tree.files.empty(), "[data] {} has too few images to hold out every 10th as a test split", dir);
  }
  return listing;
}

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
  FolderSet(const std::string& name, Listing listing, const OpenOptions& options)
      : root_(listing.root), files_(std::move(listing.tree.files)), note_(listing.note), split_(options.split) {
    name_ = name;
    size_ = files_.size();
    labels_ = std::move(listing.labels);
    class_names_ = std::move(listing.class_names);
    report_ = std::move(listing.tree.report);
    damage_limit_ = options.damage_limit;
    decode_.short_side = options.decode_size;
  }

  std::string describe() const override {
    return fmt::format("{} {}: {} image files, {}, decoded as they are needed{}", name_, split_, size_, class_text(),
                       note_);
  }
  bool resident() const override { return false; }
  uint64_t checksum() const override {
    Checksum sum;
    std::error_code broken;  // has a size of its own, which is no file's
    for (const std::string& file : files_) sum.add(file).add(uint64_t{fs::file_size(root_ + "/" + file, broken)});
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

  std::string root_;
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
  }
  parts.name = name_, parts.split = split_, parts.note = note_;
  parts.class_names = class_names_;
  parts.report = damage();
  return std::make_shared<ResidentSet>(std::move(parts));
}

}  // namespace

SetPointer open_folder(const std::string& dir, const OpenOptions& options) {
  auto set = std::make_shared<FolderSet>("images:" + dir, list_images(dir, options), options);
  if (set->likely_fits(options.resident_bytes))
    if (SetPointer loaded = set->load(options)) return loaded;
  return set;
}

}  // namespace gestalt
