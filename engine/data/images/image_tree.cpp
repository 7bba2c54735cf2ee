// Listing files, and telling splits from classes by the names of folders.
#include "engine/data/images/image_tree.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "engine/data/images/sources.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

// In the order in which they are chosen where a tree has several.
constexpr const char* test_names[] = {"test", "testing", "val", "validation", "valid", "eval", "dev"};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_train(const std::string& folder) { return lower(folder) == "train" || lower(folder) == "training"; }

// The place in test_names, or their number for another name.
ptrdiff_t test_rank(const std::string& folder) {
  return std::find(std::begin(test_names), std::end(test_names), lower(folder)) - std::begin(test_names);
}
bool is_test(const std::string& folder) { return test_rank(folder) < std::ssize(test_names); }

bool has_image_name(const fs::path& path) {
  const std::string extension = lower(path.extension().string());
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".bmp";
}

// A file, or what cannot be looked at, which is found damaged later.
bool may_be_opened(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  return type == fs::file_type::regular || type == fs::file_type::not_found || type == fs::file_type::none ||
         type == fs::file_type::unknown;
}

// Sorted, without hidden ones.
std::vector<fs::path> entries_of(const fs::path& dir) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error))
    if (!it->path().filename().string().starts_with('.')) entries.push_back(it->path());
  check(!error, "[data] cannot list {}: {}", dir.string(), error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

struct Files {
  std::vector<std::string> images;  // relative to the root, sorted
  DamageReport report;              // what is not one
};

void add_file(const fs::path& path, const std::string& name, Files& files) {
  const auto report = [&](const char* reason) {
    if (++files.report.not_image_count <= 1000) files.report.not_images.push_back({name, reason});
  };
  if (!may_be_opened(path))
    report("is a pipe, device or socket, which is not opened");
  else if (has_image_name(path))
    files.images.push_back(name);
  else
    report("is not an image (by its name)");
}

// Follows links, but enters no folder twice.
void walk(const fs::path& dir, const std::string& prefix, std::set<fs::path>& entered, Files& files) {
  std::error_code error;
  if (!entered.insert(fs::canonical(dir, error)).second) return;
  for (const fs::path& path : entries_of(dir)) {
    const std::string name = path.filename().string();
    if (fs::is_directory(path, error))
      walk(path, prefix + name + "/", entered, files);
    else
      add_file(path, prefix + name, files);
  }
}

Files list_files(const std::string& root) {
  Files files;
  std::set<fs::path> entered;
  walk(root, "", entered, files);
  return files;
}

// What lies beside the folders that lead from `dir` to `root`, and is no image.
void report_beside(const std::string& dir, const std::string& root, DamageReport& report) {
  Files beside;
  std::error_code error;
  for (fs::path at = root; at != fs::path(dir) && at.has_relative_path();) {
    at = at.parent_path();
    for (const fs::path& path : entries_of(at))
      if (!fs::is_directory(path, error)) add_file(path, path.filename().string(), beside);
  }
  report.not_image_count += beside.report.not_image_count;
  report.not_images.insert(report.not_images.end(), beside.report.not_images.begin(), beside.report.not_images.end());
}

bool holds_images(const fs::path& dir, std::set<fs::path>& entered) {
  std::error_code error;
  if (!entered.insert(fs::canonical(dir, error)).second) return false;
  std::vector<fs::path> folders;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with('.')) continue;
    std::error_code ignored;
    if (it->is_directory(ignored))
      folders.push_back(it->path());
    else if (has_image_name(it->path()) && may_be_opened(it->path()))
      return true;
  }
  return std::any_of(folders.begin(), folders.end(), [&](const fs::path& f) { return holds_images(f, entered); });
}

// What lies directly in a folder.
struct Level {
  std::vector<std::string> folders;  // that hold images, at any depth
  bool images = false;
};

Level look_at(const std::string& dir) {
  Level level;
  for (const fs::path& path : entries_of(dir)) {
    std::error_code error;
    std::set<fs::path> entered{fs::canonical(dir, error)};
    if (!fs::is_directory(path, error))
      level.images = level.images || (has_image_name(path) && may_be_opened(path));
    else if (holds_images(path, entered))
      level.folders.push_back(path.filename().string());
  }
  return level;
}

// Whether a folder holds nothing but one other.
bool only_wraps(const Level& level) { return !level.images && level.folders.size() == 1; }

// The folders that classes would be: none if images lie beside them.
std::vector<std::string> classes_in(const Level& level) {
  std::vector<std::string> classes = level.images ? std::vector<std::string>() : level.folders;
  std::sort(classes.begin(), classes.end());
  return classes;
}

struct Splits {
  std::string train, test;  // folders; both the same, and no `test_name`, where the tree has no test split
  std::string train_name, test_name;
  std::vector<std::string> notes;
};

// The folder in which the classes of a split lie. One that holds images itself is a class, even if it is the only one.
std::string through_wraps(std::string dir) {
  for (int depth = 0; depth < 8; ++depth) {
    const Level level = look_at(dir);
    if (!only_wraps(level) || look_at(dir + "/" + level.folders[0]).images) break;
    dir += "/" + level.folders[0];
  }
  return dir;
}

// The test folder that is labelled by classes of `train`, or else the first.
std::string choose_test(const std::string& root, std::vector<std::string> names, const std::string& train) {
  std::stable_sort(names.begin(), names.end(),
                   [](const std::string& a, const std::string& b) { return test_rank(a) < test_rank(b); });
  const std::vector<std::string> classes = classes_in(look_at(train));
  const auto labelled = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    const std::vector<std::string> own = classes_in(look_at(through_wraps(root + "/" + name)));
    return std::find_first_of(own.begin(), own.end(), classes.begin(), classes.end()) != own.end();
  });
  return labelled == names.end() ? names[0] : *labelled;
}

Splits find_splits(const std::string& dir) {
  Splits splits;
  std::string root = dir;
  Level level = look_at(root);
  for (int depth = 0; depth < 8 && only_wraps(level) && !is_train(level.folders[0]); ++depth) {
    root += "/" + level.folders[0];
    splits.notes.push_back(fmt::format("{}/ is looked through", level.folders[0]));
    level = look_at(root);
  }
  std::vector<std::string> trains, tests;
  for (const std::string& folder : level.folders) {
    if (is_train(folder)) trains.push_back(folder);
    if (is_test(folder)) tests.push_back(folder);
  }
  check(trains.size() <= 1 || tests.size() + trains.size() < level.folders.size(),
        "[data] {} holds {}/; keep one folder of images to train on", root, fmt::join(trains, "/ and "));
  check(!trains.empty() || tests.size() < 2 || tests.size() < level.folders.size(),
        "[data] {0} holds {1}/ but no train/; name the one to learn from, for example images:{0}/{2}", root,
        fmt::join(tests, "/ and "), tests.empty() ? "" : tests[0]);
  splits.train = splits.test = root;
  if (trains.size() != 1 || (tests.empty() && !only_wraps(level))) return splits;
  splits.train_name = trains[0];
  splits.train = splits.test = through_wraps(root + "/" + trains[0]);
  if (tests.empty()) {
    splits.notes.push_back(fmt::format("{}/ is the only split", trains[0]));
    return splits;
  }
  splits.test_name = choose_test(root, tests, splits.train);
  splits.test = through_wraps(root + "/" + splits.test_name);
  splits.notes.push_back(fmt::format("the splits are {}/ and {}/", trains[0], splits.test_name));
  std::vector<std::string> unused;
  for (const std::string& folder : level.folders)
    if (folder != splits.train_name && folder != splits.test_name) unused.push_back(folder + "/");
  if (level.images) unused.push_back("the images beside them");
  if (!unused.empty())
    splits.notes.push_back(fmt::format(
        "not used: {}{}", fmt::join(unused.begin(), unused.begin() + std::min<size_t>(5, unused.size()), ", "),
        unused.size() > 5 ? ", …" : ""));
  return splits;
}

// Numbers the classes over both splits. None where the wanted split is unlabelled.
std::vector<std::string> find_classes(Splits& splits, bool want_test) {
  const Level level = look_at(splits.train);
  std::vector<std::string> classes = classes_in(level);
  if (level.images && !level.folders.empty())
    splits.notes.push_back("images lie beside its folders, so these are not taken as labels");
  if (!splits.test_name.empty() && !classes.empty()) {
    const std::vector<std::string> own = classes_in(look_at(splits.test));
    if (std::find_first_of(own.begin(), own.end(), classes.begin(), classes.end()) == own.end()) {
      splits.notes.push_back(fmt::format("{}/ has no folder of a class, so it is unlabelled", splits.test_name));
      if (want_test) return {};
    } else {
      classes.insert(classes.end(), own.begin(), own.end());
      std::sort(classes.begin(), classes.end());
      classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
    }
  }
  if (!classes.empty()) {
    const size_t shown = std::min<size_t>(classes.size(), 3);
    splits.notes.push_back(fmt::format("folders are the classes: {}{}",
                                       fmt::join(classes.begin(), classes.begin() + shown, ", "),
                                       shown < classes.size() ? ", …" : ""));
  }
  return classes;
}

// Keeps those of the wanted split in a tree without a test split.
void hold_out(ImageTree& tree, const std::string& dir, const OpenOptions& options) {
  std::vector<std::string> files;
  std::vector<int32_t> labels;
  for (int64_t i : held_out_split(std::ssize(tree.files), tree.labels, options)) {
    files.push_back(std::move(tree.files[i]));
    if (!tree.labels.empty()) labels.push_back(tree.labels[i]);
  }
  tree.files = std::move(files), tree.labels = std::move(labels);
  if (tree.files.empty())
    throw EmptySplit(
        fmt::format("[data] {} has no two images of a class, so none can be held out as a test split", dir));
}

}  // namespace

ImageTree read_image_tree(const std::string& given, const OpenOptions& options) {
  const std::string dir = given.substr(0, std::max<size_t>(1, given.find_last_not_of('/') + 1));
  check(fs::is_directory(dir), "[data] {} is not a folder; give the folder that holds the images", dir);
  const bool want_test = options.split == "test";
  Splits splits = find_splits(dir);
  ImageTree tree;
  tree.class_names = find_classes(splits, want_test);
  tree.root = want_test ? splits.test : splits.train;
  if (tree.root != dir) tree.below = tree.root.substr(dir.size() + (dir.ends_with('/') ? 0 : 1)) + "/";
  Files files = list_files(tree.root);
  tree.files = std::move(files.images), tree.report = std::move(files.report);
  report_beside(dir, tree.root, tree.report);
  check(!tree.files.empty(), "[data] {} holds no .jpg, .jpeg, .png or .bmp file", tree.root);
  for (const std::string& file : tree.files) {
    if (tree.class_names.empty()) break;
    const std::string name = file.substr(0, file.find('/'));
    const auto at = std::lower_bound(tree.class_names.begin(), tree.class_names.end(), name);
    tree.labels.push_back(static_cast<int32_t>(at - tree.class_names.begin()));
  }
  if (splits.test_name.empty()) {
    hold_out(tree, dir, options);
    if (options.hold_out)
      splits.notes.push_back(tree.labels.empty() ? "every 10th image is held out"
                                                 : "held out: every 10th image of a class, the last of a smaller one");
  }
  tree.note = fmt::format("{}", fmt::join(splits.notes, "; "));
  return tree;
}

}  // namespace gestalt
