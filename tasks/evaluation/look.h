// What an encoder shows of a folder of images without a label: neighbours, duplicates, the strangest, some to begin
// with.
#pragma once

#include <string>
#include <vector>

#include "engine/data/images/all_images.h"
#include "tasks/evaluation/features.h"

namespace gestalt {

struct LookOptions {
  int64_t neighbours = 10;
  double near = 0.9;     // cosine from which two images may be duplicates
  double pixels = 0.96;  // agreement() of the pixels from which they are
  int64_t choose = 0;
  bool overwrite = false;

  void fields(Fields& f);
};

// Two images that are duplicates. `first` comes before `second` in the order of the source.
struct DuplicatePair {
  int32_t first, second;
  double cosine, agreement;
  bool exact;  // the same pixels
  int32_t group = 0;
};

struct LookResult {
  int64_t images = 0;  // that could be read
  std::vector<DuplicatePair> duplicates;
  int64_t groups = 0;             // of images that are duplicates of one another
  int64_t across_splits = 0;      // pairs
  std::vector<std::string> said;  // a line a file
};

// Writes neighbours.csv, duplicates.csv, outliers.csv and, where some are to be chosen, chosen.csv into the folder
// `out`, with a sheet of pictures beside each. `stored` are the same images, in the same order, as they are stored.
LookResult look(Encoder& encoder, const AllImages& images, const AllImages& stored, const ViewOptions& view,
                const LookOptions& options, const std::string& out);

}  // namespace gestalt
