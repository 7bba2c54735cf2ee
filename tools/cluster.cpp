// `gestalt cluster`: the images of a set in groups, by an encoder's features: a table, a CSV and a sheet of pictures.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "engine/data/images/splits.h"
#include "engine/run/files.h"
#include "tasks/evaluation/clustering.h"
#include "tools/commands.h"
#include "tools/evaluation.h"
#include "tools/flags.h"
#include "tools/results.h"

namespace gestalt::tools {
namespace {

struct ClusterCommand {
  EncoderSource source;
  std::string split = "train", out = "clusters.csv", sheet;
  int64_t columns = 10;
  bool raw_pixels = false;

  void fields(Fields& f) {
    source.fields(f);
    f("raw-pixels", raw_pixels, "baseline: the pixels themselves as features");
    f("split", split, "which of the images; of a set without a test split train is all, and test every tenth",
      {"train", "test"});
    f("out", out, "the CSV to write: file, cluster, distance to its centre");
    f("sheet", sheet, "the PNG to write, a row a cluster; empty: the CSV's name with .png");
    f("columns", columns, "images in a row of it", between(1, 1000));
  }
};

std::shared_ptr<ImageSet> open_set(const ClusterCommand& o, int64_t size) {
  const std::string data = expand_home(o.source.data);
  check(!data.empty(), "[cluster] got no --data; name images, see 'gestalt list data'");
  // Nothing is learned that the rest would be measured on, so nothing is held out.
  OpenOptions open = centre_views(size);
  open.split = o.split;
  const std::shared_ptr<ImageSet> set = open_images(data, open);
  fmt::print("{}\n", set->describe());
  return set;
}

void run(const ClusterCommand& o, const ClusteringOptions& options) {
  check(!o.raw_pixels || !o.source.untrained, "[cluster] got --raw-pixels and --untrained, expected one of them");
  ReadyEncoder ready = load_ready(o.source, static_cast<uint64_t>(options.seed), "cluster");
  const std::shared_ptr<ImageSet> set = open_set(o, ready.view.size);
  check(options.clusters <= set->size(), "[cluster] got --k {} for {} images; use a smaller one", options.clusters,
        set->size());
  const Features features =
      o.raw_pixels ? raw_pixels(set, ready.view) : extract_features(*ready.loaded.encoder, set, ready.view);
  check(features.features.dim(0) == set->size(), "[cluster] {} of {} images cannot be decoded; take them away: {}",
        set->size() - features.features.dim(0), set->size(), set->damage().text());
  const Clustering found = cluster_features(features, options);
  fmt::print("{}protocol: {}; {}, {} numbers an image\n", clustering_text(found, features, *set), options.protocol(),
             o.raw_pixels         ? "raw pixels"
             : o.source.untrained ? "untrained encoder"
                                  : o.source.encoder,
             features.features.dim(1));
  const std::string out = expand_home(o.out);
  const std::string sheet =
      o.sheet.empty() ? std::filesystem::path(out).replace_extension(".png").string() : expand_home(o.sheet);
  write_file_atomically(out, clustering_csv(found, features, *set));
  const Picture picture = clustering_sheet(found, set, o.columns, ready.view.size);
  write_picture(sheet, picture);
  fmt::print("wrote {} and {}: {}\n", out, sheet, picture.caption);
  if (found.agreement) {
    const std::string row = table_row(
        {o.raw_pixels || o.source.untrained ? "-" : method_name(ready), o.raw_pixels ? "-" : model_name(ready),
         fmt::format("{}-means", options.clusters), fmt::format("{:.3f}", found.agreement->nmi),
         fmt::format("{:.3f}", found.agreement->ari), fmt::format("{:.2f}", found.agreement->accuracy)},
        o.source.row);
    fmt::print("table row (method, encoder, clusters, NMI, ARI, matched accuracy %):\n{}\n", row);
  }
}

}  // namespace

void add_cluster(Command program) {
  const Command command = program.add("cluster", "group images by their features, without labels");
  const auto options = std::make_shared<ClusterCommand>();
  const auto clustering = std::make_shared<ClusteringOptions>();
  command.argument("encoder", options->source.encoder,
                   "folder of a run or of a model, or a safetensors file: ours, torchvision's, timm's, transformers'");
  set_command(
      command, [](const ClusterCommand& o, const ClusteringOptions& c) { run(o, c); }, options, clustering);
}

}  // namespace gestalt::tools
