// Embedding: the features of all images of a source, written to a file as they are computed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/data/images/all_images.h"
#include "tasks/evaluation/features.h"

namespace gestalt {

struct EmbedOptions {
  // NAME.npy: f32, a row an image, with NAME.files.csv beside it (file, split and label of each row). NAME.csv: all of
  // it in one table. NAME.skipped.csv lists the images that could not be read, if there are any.
  std::string out;
  std::string layer = "pooled";  // one vector an image; "patch": (rows, columns, D) an image, see feature_map
  bool overwrite = false;        // what stands there, finished or not
  double save_seconds = 15;      // between the moments that an interrupted run goes on from
  std::function<void(int64_t images)> progress = {};
  std::function<bool()> stop = {};  // asked once a batch; what is done is kept
};

struct EmbedResult {
  int64_t images = 0;  // that were looked at, in all sittings
  Shape shape;         // of all rows
  int64_t resumed_at = 0;
  bool ended = false;
  std::vector<Damage> skipped;
  std::vector<std::string> files;  // that were written
};

// Goes on with what an interrupted call left, and gives the same bytes as one that was not. Memory is that of two
// batches. Throws Error where files stand there already, or are unfinished ones of other images, weights or options.
EmbedResult embed(Encoder& encoder, const AllImages& images, const ViewOptions& view, const EmbedOptions& options);

}  // namespace gestalt
