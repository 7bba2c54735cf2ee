// Listing files, and telling splits from classes by the names of folders.
#include "engine/data/images/image_tree.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "engine/data/images/sources.h"
#include "engine/data/images/split_names.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_train(const std::string& folder) {
  const SplitName name = split_name(folder);
  return name.kind == SplitName::Kind::train && name.of_what.empty();
}

bool has_image_name(const fs::path& path) {
  const std::string extension = lower(path.extension().string());
  constexpr std::string_view names[] = {".jpg",  ".jpeg", ".jfif", ".jpe",   ".jif",   ".pjpeg", ".pjp",  ".mpo",
                                        ".png",  ".apng", ".bmp",  ".dib",   ".gif",   ".webp",  ".tif",  ".tiff",
                                        ".heic", ".heif", ".hif",  ".heics", ".heifs", ".avif",  ".avifs"};
  return std::find(std::begin(names), std::end(names), extension) != std::end(names);
}

struct Files {
  std::vector<std::string> images;  // relative to the root, sorted
  DamageReport report;              // what is not one
};

void add_file(const FolderView& view, const fs::path& path, const std::string& name, Files& files) {
  const auto report = [&](const char* reason) {
    if (++files.report.not_image_count <= 1000) files.report.not_images.push_back({name, reason});
  };
  if (!view.may_be_opened(path))
    report("is a pipe, device or socket, which is not opened");
  else if (has_image_name(path))
    files.images.push_back(name);
  else
    report("is not an image (by its name)");
}

// Follows links, but not into a folder that it is in.
void walk(const FolderView& view, const fs::path& dir, const std::string& prefix, std::set<fs::path>& within,
          Files& files) {
  const auto [here, is_new] = within.insert(view.identity(dir));
  if (!is_new) return;
  for (const fs::path& path : view.entries(dir)) {
    const std::string name = path.filename().string();
    if (view.is_folder(path))
      walk(view, path, prefix + name + "/", within, files);
    else
      add_file(view, path, prefix + name, files);
  }
  within.erase(here);
}

Files list_files(const FolderView& view, const std::string& root) {
  Files files;
  std::set<fs::path> within;
  walk(view, root, "", within, files);
  return files;
}

// What lies beside the folders that lead from `dir` to `root`, and is no image.
void report_beside(const FolderView& view, const std::string& dir, const std::string& root, DamageReport& report) {
  Files beside;
  for (fs::path at = root; at != fs::path(dir) && at.has_relative_path();) {
    at = at.parent_path();
    for (const fs::path& path : view.entries(at))
      if (!view.is_folder(path)) add_file(view, path, path.filename().string(), beside);
  }
  report.not_image_count += beside.report.not_image_count;
  report.not_images.insert(report.not_images.end(), beside.report.not_images.begin(), beside.report.not_images.end());
}

bool holds_images(const FolderView& view, const fs::path& dir, std::set<fs::path>& entered) {
  if (!entered.insert(view.identity(dir)).second) return false;
  std::vector<fs::path> folders;
  const bool here = view.any_of(dir, [&](const fs::path& path) {
    if (view.is_folder(path))
      folders.push_back(path);
    else if (has_image_name(path) && view.may_be_opened(path))
      return true;
    return false;
  });
  return here ||
         std::any_of(folders.begin(), folders.end(), [&](const fs::path& f) { return holds_images(view, f, entered); });
}

// What lies directly in a folder.
struct Level {
  std::vector<std::string> folders;  // that hold images, at any depth
  bool images = false;
};

Level look_at(const FolderView& view, const std::string& dir) {
  Level level;
  for (const fs::path& path : view.entries(dir)) {
    std::set<fs::path> entered{view.identity(dir)};
    if (!view.is_folder(path))
      level.images = level.images || (has_image_name(path) && view.may_be_opened(path));
    else if (holds_images(view, path, entered))
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

std::string first_of(const std::vector<std::string>& names) {
  const size_t most = std::min<size_t>(5, names.size());
  return fmt::format("{}{}", fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(most), ", "),
                     names.size() > most ? ", …" : "");
}

struct Splits {
  std::string train, test;  // folders; both the same, and no `test_name`, where the tree has no test split
  std::string train_name, test_name;
  std::vector<std::string> notes;
};

// The folder in which the classes of a split lie. One that holds images itself is a class, even if it is the only one.
std::string through_wraps(const FolderView& view, std::string dir) {
  for (int depth = 0; depth < 8; ++depth) {
    const Level level = look_at(view, dir);
    if (!only_wraps(level) || look_at(view, dir + "/" + level.folders[0]).images) break;
    dir += "/" + level.folders[0];
  }
  return dir;
}

// The test folder that is labelled by classes of `train`, or else the first.
std::string choose_test(const FolderView& view, const std::string& root, std::vector<std::string> names,
                        const std::string& train) {
  std::stable_sort(names.begin(), names.end(),
                   [](const std::string& a, const std::string& b) { return split_name(a).rank < split_name(b).rank; });
  const std::vector<std::string> classes = classes_in(look_at(view, train));
  const auto labelled = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    const std::vector<std::string> own = classes_in(look_at(view, through_wraps(view, root + "/" + name)));
    return std::find_first_of(own.begin(), own.end(), classes.begin(), classes.end()) != own.end();
  });
  return labelled == names.end() ? names[0] : *labelled;
}

Splits find_splits(const FolderView& view, const std::string& dir) {
  Splits splits;
  std::string root = dir;
  Level level = look_at(view, root);
  for (int depth = 0; depth < 8 && only_wraps(level) && !is_train(level.folders[0]); ++depth) {
    root += "/" + level.folders[0];
    splits.notes.push_back(fmt::format("{}/ is looked through", level.folders[0]));
    level = look_at(view, root);
  }
  const SplitFolders found = split_folders(level.folders);
  const std::vector<std::string>&trains = found.trains, &tests = found.tests;
  check(trains.size() <= 1 || tests.size() + trains.size() < level.folders.size(),
        "[data] {} holds {}/; keep one folder of images to train on", root, fmt::join(trains, "/ and "));
  const auto bare = [](const std::string& name) { return split_name(name).bare; };
  check(!trains.empty() || level.folders.size() < 2 || !std::all_of(level.folders.begin(), level.folders.end(), bare),
        "[data] {0} holds {1}/ but no train/; name the one to learn from, for example images:{0}/{2}", root,
        fmt::join(level.folders, "/ and "), level.folders.empty() ? "" : level.folders[0]);
  splits.train = splits.test = root;
  if (trains.size() != 1 || (tests.empty() && !only_wraps(level))) return splits;
  splits.train_name = trains[0];
  splits.train = splits.test = through_wraps(view, root + "/" + trains[0]);
  if (tests.empty()) {
    splits.notes.push_back(fmt::format("{}/ is the only split", trains[0]));
    return splits;
  }
  splits.test_name = choose_test(view, root, tests, splits.train);
  splits.test = through_wraps(view, root + "/" + splits.test_name);
  splits.notes.push_back(fmt::format("the splits are {}/ and {}/", trains[0], splits.test_name));
  std::vector<std::string> unused;
  for (const std::string& folder : level.folders)
    if (folder != splits.train_name && folder != splits.test_name) unused.push_back(folder + "/");
  if (level.images) unused.push_back("the images beside them");
  if (!unused.empty()) splits.notes.push_back("not used: " + first_of(unused));
  return splits;
}

// Numbers the classes over both splits. None where the wanted split is unlabelled.
std::vector<std::string> find_classes(const FolderView& view, Splits& splits, bool want_test) {
  const Level level = look_at(view, splits.train);
  std::vector<std::string> classes = classes_in(level);
  if (level.images && !level.folders.empty())
    splits.notes.push_back(
        "images lie beside its folders, so these are not taken as labels; put them into folders too");
  if (!splits.test_name.empty() && !classes.empty()) {
    const std::vector<std::string> own = classes_in(look_at(view, splits.test));
    if (std::find_first_of(own.begin(), own.end(), classes.begin(), classes.end()) == own.end()) {
      splits.notes.push_back(fmt::format("{}/ has no folder of a class, so it is unlabelled", splits.test_name));
      if (want_test) return {};
    } else {
      std::vector<std::string> alone;
      std::set_difference(own.begin(), own.end(), classes.begin(), classes.end(), std::back_inserter(alone));
      if (!alone.empty())
        splits.notes.push_back(fmt::format("in {}/ alone, so never learned: {}", splits.test_name, first_of(alone)));
      classes.insert(classes.end(), own.begin(), own.end());
      std::sort(classes.begin(), classes.end());
      classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
    }
  }
  return classes;
}

// The first classes with their images.
std::string class_counts(const ImageTree& tree) {
  constexpr size_t most = 5;
  std::vector<int64_t> counts(tree.class_names.size(), 0);
  for (int32_t label : tree.labels) ++counts[static_cast<size_t>(label)];
  std::vector<std::string> shown;
  for (size_t c = 0; c < std::min(most, counts.size()); ++c)
    shown.push_back(fmt::format("{} ({})", tree.class_names[c], counts[c]));
  return fmt::format("{}{}", fmt::join(shown, ", "), counts.size() > most ? ", …" : "");
}

// Keeps those of the wanted split in a tree without a test split.
void hold_out(ImageTree& tree, const std::string& dir, const OpenOptions& options) {
  const bool labelled = !tree.labels.empty();
  std::vector<std::string> files;
  std::vector<int32_t> labels;
  for (int64_t i : held_out_split(std::ssize(tree.files), tree.labels, options)) {
    files.push_back(std::move(tree.files[i]));
    if (!tree.labels.empty()) labels.push_back(tree.labels[i]);
  }
  tree.files = std::move(files), tree.labels = std::move(labels);
  if (tree.files.empty())
    throw EmptySplit(fmt::format("[data] {} has {}, so none can be held out as a test split", dir,
                                 labelled ? "no two images of a class" : "unlabelled images"));
}

// Takes the labels of files beside the images, where all images have one.
bool label_by_files_beside(const FolderView& view, ImageTree& tree, std::vector<std::string>& notes) {
  const std::vector<std::string> classes = view.classes_beside();
  if (classes.empty()) return false;
  std::vector<int32_t> labels;
  for (const std::string& file : tree.files) labels.push_back(view.class_beside(tree.root + "/" + file));
  if (const auto without = std::count(labels.begin(), labels.end(), -1)) {
    notes.push_back(
        fmt::format("{} of {} images have no label beside them, so these are not used", without, labels.size()));
    return false;
  }
  tree.class_names = classes, tree.labels = std::move(labels);
  notes.push_back("labels lie beside the images: " + class_counts(tree));
  return true;
}

void label_by_folders(ImageTree& tree, std::vector<std::string>& notes) {
  if (tree.class_names.empty()) return;
  for (const std::string& file : tree.files) {
    const std::string name = file.substr(0, file.find('/'));
    const auto at = std::lower_bound(tree.class_names.begin(), tree.class_names.end(), name);
    tree.labels.push_back(static_cast<int32_t>(at - tree.class_names.begin()));
  }
  notes.push_back("folders are the classes: " + class_counts(tree));
}

}  // namespace

ImageTree read_image_tree(const FolderView& view, const std::string& given, const OpenOptions& options) {
  const std::string dir = given.substr(0, std::max<size_t>(1, given.find_last_not_of('/') + 1));
  check(view.is_folder(dir), "[data] {} is not a folder; give the folder that holds the images", dir);
  const bool want_test = options.split == "test";
  Splits splits = find_splits(view, dir);
  ImageTree tree;
  if (!options.unlabelled) tree.class_names = find_classes(view, splits, want_test);
  tree.root = want_test ? splits.test : splits.train;
  if (tree.root != dir) tree.below = tree.root.substr(dir.size() + (dir.ends_with('/') ? 0 : 1)) + "/";
  Files files = list_files(view, tree.root);
  tree.files = std::move(files.images), tree.report = std::move(files.report);
  report_beside(view, dir, tree.root, tree.report);
  check(!tree.files.empty(),
        "[data] {} holds no image file (.jpg, .png, .bmp, .gif, .webp, .tiff, .heic, .avif); files of other names are "
        "given by list:FILE, a path a line",
        tree.root);
  if (!options.unlabelled && !label_by_files_beside(view, tree, splits.notes)) label_by_folders(tree, splits.notes);
  if (options.unlabelled) splits.notes.push_back("folders are not looked at for labels");
  if (splits.test_name.empty()) {
    hold_out(tree, dir, options);
    if (options.hold_out && !tree.labels.empty())
      splits.notes.push_back("held out: every 10th image of a class, the last of a smaller one");
  }
  tree.note = fmt::format("{}", fmt::join(splits.notes, "; "));
  return tree;
}

}  // namespace gestalt
