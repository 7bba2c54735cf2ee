// `tar:FILES` and `zip:FILES`: the tree of image files in one or several archives, or shards as webdataset writes them.
#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "engine/data/archive.h"
#include "engine/data/images/file_set.h"
#include "engine/data/images/image_tree.h"
#include "engine/run/json.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

bool is_label(const std::string& name) { return name.ends_with(".cls") || name.ends_with(".json"); }

// What an entry's files are called together: its path up to the first dot of its name.
std::string sample_of(const std::string& name) {
  const size_t folder = name.rfind('/') + 1;  // 0 where there is none
  return name.substr(0, name.find('.', folder));
}

// The class in a .cls file, or in a .json's field; "" where there is none.
std::string label_in(const std::string& name, const std::vector<uint8_t>& bytes) {
  std::string text(bytes.begin(), bytes.end());
  if (name.ends_with(".cls")) {
    text.erase(0, text.find_first_not_of(" \t\r\n"));
    text.erase(text.find_last_not_of(" \t\r\n") + 1);
    return text;
  }
  const Json json = json_or_null(text);
  for (const char* key : {"label", "cls", "class", "class_name"}) {
    if (!json.is_object() || !json.contains(key)) continue;
    if (json[key].is_string()) return json[key].get<std::string>();
    if (json[key].is_number_integer()) return std::to_string(json[key].get<int64_t>());
  }
  return "";
}

struct Place {
  const Archive* archive;
  const Archive::Entry* entry;
};

// Archives as one folder, whose root is ".". Of two files of one path in different archives, the later one's name gets
// its archive's in front.
class ArchiveFolders : public FolderView {
 public:
  explicit ArchiveFolders(const std::vector<std::string>& paths) {
    folders_["."];
    for (const std::string& path : paths) {
      archives_.push_back(std::make_unique<Archive>(path, [](const std::string& name) { return wanted(name); }));
      std::unordered_map<std::string, std::string> labels;  // by sample
      const Archive& archive = *archives_.back();
      for (const Archive::Entry& entry : archive.entries()) add(archive, entry, labels);
      for (const auto& [file, sample] : samples_)
        if (const auto label = labels.find(sample); label != labels.end()) labels_[file] = label->second;
      samples_.clear();
    }
    for (const auto& [file, label] : labels_) classes_.push_back(label);
    std::sort(classes_.begin(), classes_.end(), before);
    classes_.erase(std::unique(classes_.begin(), classes_.end()), classes_.end());
  }

  bool is_folder(const fs::path& path) const override { return folders_.contains(normal(path)); }
  bool any_of(const fs::path& folder, const std::function<bool(const fs::path&)>& holds) const override {
    const std::vector<fs::path> all = entries(folder);
    return std::any_of(all.begin(), all.end(), holds);
  }
  std::vector<fs::path> entries(const fs::path& folder) const override {
    std::vector<fs::path> all;
    if (const auto found = folders_.find(normal(folder)); found != folders_.end())
      for (const std::string& name : found->second) all.push_back(folder / name);
    return all;
  }
  bool may_be_opened(const fs::path&) const override { return true; }
  fs::path identity(const fs::path& path) const override { return normal(path); }
  std::vector<std::string> classes_beside() const override { return classes_; }
  int32_t class_beside(const fs::path& image) const override {
    const auto label = labels_.find(normal(image));
    if (label == labels_.end()) return -1;
    return static_cast<int32_t>(std::lower_bound(classes_.begin(), classes_.end(), label->second, before) -
                                classes_.begin());
  }

  Place place_of(const std::string& path) const { return files_.at(normal(path)); }
  void report_problems(DamageReport& report) const {
    for (const auto& archive : archives_)
      if (!archive->problem().empty()) report.damaged.push_back({archive->path(), archive->problem()});
  }

 private:
  static std::string normal(const fs::path& path) { return path.lexically_normal().string(); }
  // No hidden files, and none that are no file's names.
  static bool wanted(const std::string& name) {
    if (name.empty() || name.ends_with('/') || name.starts_with('/')) return false;
    const fs::path path = name;
    return std::none_of(path.begin(), path.end(), [](const fs::path& part) { return is_hidden(part.string()); });
  }
  static bool before(const std::string& a, const std::string& b) {
    int64_t x = 0, y = 0;
    const auto number = [](const std::string& s, int64_t& n) {
      return !s.empty() && std::from_chars(s.data(), s.data() + s.size(), n).ptr == s.data() + s.size();
    };
    const bool with_x = number(a, x), with_y = number(b, y);
    return with_x && with_y && x != y ? x < y : with_x != with_y ? with_x : a < b;
  }

  void add(const Archive& archive, const Archive::Entry& entry, std::unordered_map<std::string, std::string>& labels) {
    constexpr int64_t longest_label = 1 << 16;
    if (is_label(entry.name)) {
      try {
        const std::string label = label_in(entry.name, archive.read(entry, longest_label));
        if (!label.empty()) labels[sample_of(entry.name)] = label;
      } catch (const Error&) {  // of an archive that is cut off
      }
      return;
    }
    fs::path path = fs::path(entry.name).lexically_normal();
    if (files_.contains(path.string()))
      path = path.parent_path() / (fs::path(archive.path()).stem().string() + ":" + path.filename().string());
    if (!files_.emplace(path.string(), Place{&archive, &entry}).second) return;
    samples_.emplace_back(path.string(), sample_of(entry.name));
    for (fs::path child = path; !child.empty(); child = child.parent_path()) {
      const std::string parent = child.has_parent_path() ? child.parent_path().string() : ".";
      if (!folders_[parent].insert(child.filename().string()).second) break;
    }
  }

  std::vector<std::unique_ptr<Archive>> archives_;
  std::unordered_map<std::string, Place> files_;
  std::unordered_map<std::string, std::set<std::string>> folders_;  // what lies in each
  std::vector<std::pair<std::string, std::string>> samples_;        // of the archive that is being added
  std::unordered_map<std::string, std::string> labels_;
  std::vector<std::string> classes_;
};

// A set is opened once a split, and before that to look at it: archives stay open, while they are the same files.
std::shared_ptr<const ArchiveFolders> folders_of(const std::string& pattern) {
  struct Opened {
    std::vector<std::pair<uint64_t, int64_t>> stamps;  // size and time of each file
    std::shared_ptr<const ArchiveFolders> folders;
  };
  static std::mutex mutex;
  static std::map<std::string, Opened> all;
  const std::vector<std::string> paths = files_of(pattern);
  std::vector<std::pair<uint64_t, int64_t>> stamps;
  for (const std::string& path : paths) {
    std::error_code none;  // the reader says what is wrong with it
    check(!fs::is_directory(path, none), "[data] {0} is a folder; for images in it give images:{0}", path);
    const uint64_t size = fs::file_size(path, none);
    stamps.push_back({size, int64_t{fs::last_write_time(path, none).time_since_epoch().count()}});
  }
  const std::lock_guard lock(mutex);
  Opened& opened = all[fs::absolute(pattern).string()];
  if (!opened.folders || opened.stamps != stamps) opened = {stamps, std::make_shared<const ArchiveFolders>(paths)};
  return opened.folders;
}

SetPointer open_archives(const std::string& scheme, const std::string& pattern, const OpenOptions& options) {
  const std::shared_ptr<const ArchiveFolders> view = folders_of(pattern);
  ImageFiles files;
  files.name = scheme + ":" + pattern;
  ImageTree tree;
  try {
    tree = read_image_tree(*view, ".", options);
  } catch (const EmptySplit&) { throw; } catch (const Error& error) {
    DamageReport report;
    view->report_problems(report);
    fail("{} (in {}{})", error.what(), pattern, report.damaged.empty() ? "" : ", which " + report.damaged[0].reason);
  }
  const auto places = std::make_shared<std::vector<Place>>();
  for (const std::string& file : tree.files) {
    places->push_back(view->place_of(tree.root + "/" + file));
    const Place& place = places->back();
    files.names.push_back(fs::path(place.archive->path()).filename().string() + "/" + place.entry->name);
  }
  files.labels = std::move(tree.labels), files.class_names = std::move(tree.class_names);
  files.report = std::move(tree.report), files.note = std::move(tree.note);
  view->report_problems(files.report);
  const auto at = [places](int64_t i) -> const Place& { return (*places)[static_cast<size_t>(i)]; };
  files.read = [view, at](int64_t i, int64_t most) { return at(i).archive->read(*at(i).entry, most); };
  files.bytes = [at](int64_t i) { return static_cast<uint64_t>(at(i).entry->size); };
  files.identity = [at](int64_t i) {
    return fs::path(at(i).archive->path()).filename().string() + "/" + at(i).entry->name;
  };
  return open_files(std::move(files), options);
}

}  // namespace

SetPointer open_tar(const std::string& files, const OpenOptions& options) {
  return open_archives("tar", files, options);
}
SetPointer open_zip(const std::string& files, const OpenOptions& options) {
  return open_archives("zip", files, options);
}

}  // namespace gestalt
