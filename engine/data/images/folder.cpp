// `images:DIR`: any tree of image files.
#include <filesystem>

#include "engine/data/images/file_set.h"
#include "engine/data/images/image_tree.h"

namespace gestalt {

SetPointer open_folder(const std::string& dir, const OpenOptions& options) {
  const size_t comma = dir.find(',');
  check(comma == std::string::npos || std::filesystem::is_directory(dir),
        "[data] {} is not a folder; several are images:{},images:…", dir, dir.substr(0, comma));
  const auto tree = std::make_shared<ImageTree>(read_image_tree(FoldersOnDisk(), dir, options));
  ImageFiles files;
  files.name = "images:" + dir;
  for (const std::string& file : tree->files) files.names.push_back(tree->below + file);
  files.labels = std::move(tree->labels), files.class_names = std::move(tree->class_names);
  files.report = std::move(tree->report), files.note = std::move(tree->note);
  files.identity = [tree](int64_t i) { return tree->files[static_cast<size_t>(i)]; };
  files.path = [tree](int64_t i) { return tree->root + "/" + tree->files[static_cast<size_t>(i)]; };
  files.read = [path = files.path](int64_t i, int64_t most) { return read_file(path(i), most); };
  files.bytes = [path = files.path](int64_t i) {
    std::error_code broken;  // has a size of its own, which is no file's
    return uint64_t{std::filesystem::file_size(path(i), broken)};
  };
  return open_files(std::move(files), options);
}

}  // namespace gestalt
