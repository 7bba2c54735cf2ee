// What the folders of a tree of image files mean: which are splits, and which are classes.
#pragma once

#include <string>
#include <vector>

#include "engine/data/images/folder_view.h"
#include "engine/data/images/image_set.h"

namespace gestalt {

struct ImageTree {
  std::string root;                      // what `files` are relative to
  std::string below;                     // `root` seen from the folder that was given: "" or as "train/"
  std::vector<std::string> files;        // of the wanted split, in order of path
  std::vector<int32_t> labels;           // one a file, or none
  std::vector<std::string> class_names;  // over both splits, so that a class which one of them lacks shifts nothing
  DamageReport report;                   // what lies there and is no image
  std::string note;                      // what was taken for what, for people
};

// Folders that hold another folder and nothing else are looked through. Then `train` (or `training`), with one of
// `test`, `testing`, `val`, `validation`, `valid`, `eval` and `dev`, in any case of letters, are the splits, and a lone
// `train` is all there is. The folders in a split, or in a tree without splits, are the classes, unless images lie
// beside them. A test split none of whose folders is a class of `train` is unlabelled; where there are several, the
// first that is labelled is taken. Hidden files are passed over; pipes, devices and sockets are reported and not
// opened. Throws Error where there are no images, EmptySplit where none can be held out.
ImageTree read_image_tree(const FolderView&, const std::string& dir, const OpenOptions&);

}  // namespace gestalt
