// k-means on features, and what to show of it.
#include "tasks/evaluation/clustering.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/data/images/loader.h"
#include "engine/data/images/subset.h"
#include "engine/nn/partitions.h"
#include "engine/run/csv.h"

namespace gestalt {
namespace {

constexpr int64_t most_rows = 50;  // of a table or a sheet

// The images of each cluster, nearest to its centre first.
std::vector<std::vector<int32_t>> members_of(const Clusters& clusters) {
  const int32_t* assigned = clusters.assignments.data<int32_t>();
  const float* distance = clusters.distances.data<float>();
  std::vector<std::vector<int32_t>> members(static_cast<size_t>(clusters.centres.dim(0)));
  for (int64_t i = 0; i < clusters.assignments.count(); ++i) members[assigned[i]].push_back(static_cast<int32_t>(i));
  for (auto& images : members)
    std::stable_sort(images.begin(), images.end(), [&](int32_t a, int32_t b) { return distance[a] < distance[b]; });
  return members;
}

// "cat 61 %", or nothing.
std::string most_of(const std::vector<int32_t>& images, const Features& features, const ImageSet& set) {
  if (features.labels.empty() || images.empty()) return "";
  std::vector<int64_t> counts(set.class_names().size(), 0);
  for (int32_t i : images) ++counts[features.labels[i]];
  const auto most = std::max_element(counts.begin(), counts.end());
  return fmt::format("{} {:.0f} %", set.class_names()[most - counts.begin()],
                     100.0 * static_cast<double>(*most) / static_cast<double>(images.size()));
}

}  // namespace

void ClusteringOptions::fields(Fields& f) {
  f.title("Clusters");
  f("k", clusters, "how many", between(1, 1 << 24));
  f("spherical", spherical, "by direction alone: features and centres have unit length");
  f("restarts", restarts, "beginnings, of which the one with the lowest inertia is taken", between(1, 65535));
  f("iterations", iterations, "of each, at most", between(1, 1e9));
  f("seed", seed, "where k-means begins, and an untrained encoder's weights", any_number());
}

std::string ClusteringOptions::protocol() const {
  return fmt::format("{}k-means, {} clusters, greedy k-means++, best of {}, seed {}", spherical ? "spherical " : "",
                     clusters, restarts, seed);
}

Clustering cluster_features(const Features& features, const ClusteringOptions& options) {
  Clustering result;
  result.clusters = k_means(features.features, {.clusters = options.clusters,
                                                .iterations = options.iterations,
                                                .restarts = options.restarts,
                                                .spherical = options.spherical,
                                                .seed = static_cast<uint64_t>(options.seed)});
  const Tensor& assigned = result.clusters.assignments;
  const std::span<const int32_t> clusters(assigned.data<int32_t>(), static_cast<size_t>(assigned.count()));
  result.sizes.assign(static_cast<size_t>(options.clusters), 0);
  for (int32_t c : clusters) ++result.sizes[c];
  if (!features.labels.empty())
    result.agreement = {normalized_mutual_information(clusters, features.labels),
                        adjusted_rand_index(clusters, features.labels), matched_accuracy(clusters, features.labels)};
  return result;
}

std::string clustering_text(const Clustering& clustering, const Features& features, const ImageSet& set) {
  const Clusters& c = clustering.clusters;
  const auto members = members_of(c);
  std::string text;
  if (c.centres.dim(0) <= most_rows) {
    text = fmt::format("{:>7} {:>7} {:>14}  {}\n", "cluster", "images", "mean distance",
                       features.labels.empty() ? "" : "most of it");
    for (size_t k = 0; k < members.size(); ++k) {
      double sum = 0;
      for (int32_t i : members[k]) sum += c.distances.data<float>()[i];
      const std::string mean =
          members[k].empty() ? "-" : fmt::format("{:.4g}", sum / static_cast<double>(members[k].size()));
      text += fmt::format("{:>7} {:>7} {:>14}  {}\n", k, members[k].size(), mean, most_of(members[k], features, set));
    }
  } else {
    std::vector<int64_t> sizes = clustering.sizes;
    std::sort(sizes.begin(), sizes.end());
    text = fmt::format("images a cluster: {} to {}, median {}\n", sizes.front(), sizes.back(), sizes[sizes.size() / 2]);
  }
  text += fmt::format("inertia {:.6g} ({:.4g} an image), {} iterations, {} clusters empty\n", c.inertia,
                      c.inertia / static_cast<double>(c.assignments.count()), c.iterations, c.empty);
  if (const auto& a = clustering.agreement)
    text += fmt::format("agreement with the labels: NMI {:.4f}, ARI {:.4f}, accuracy {:.2f} % once matched\n", a->nmi,
                        a->ari, a->accuracy);
  return text;
}

std::string clustering_csv(const Clustering& clustering, const Features& features, const ImageSet& set) {
  const Clusters& c = clustering.clusters;
  const bool labelled = !features.labels.empty();
  std::string text = labelled ? "file,cluster,distance,class\n" : "file,cluster,distance\n";
  for (int64_t i = 0; i < set.size(); ++i) {
    text += fmt::format("{},{},{}", csv_cell(set.image_name(i)), c.assignments.data<int32_t>()[i],
                        c.distances.data<float>()[i]);
    if (labelled) text += fmt::format(",{}", csv_cell(set.class_names()[features.labels[i]]));
    text += "\n";
  }
  return text;
}

Picture clustering_sheet(const Clustering& clustering, const std::shared_ptr<ImageSet>& set, int64_t columns,
                         int64_t size) {
  auto members = members_of(clustering.clusters);
  const bool all = static_cast<int64_t>(members.size()) <= most_rows;
  if (!all) {
    std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    members.resize(most_rows);
  }
  std::vector<int32_t> shown;
  std::vector<int64_t> tiles;  // where each goes
  for (size_t row = 0; row < members.size(); ++row)
    for (int64_t i = 0; i < std::min<int64_t>(columns, static_cast<int64_t>(members[row].size())); ++i) {
      shown.push_back(members[row][i]);
      tiles.push_back(static_cast<int64_t>(row) * columns + i);
    }
  const Normalisation plain = normalisation("none");
  Loader loader(subset(set, shown),
                {.batch = static_cast<int64_t>(shown.size()), .drop_last = false, .shuffle = false});
  const ImageBatch batch = loader.next();
  const Tensor images = evaluation_view(batch.pixels, batch.frames, size, plain);
  Tensor sheet = Tensor::full({static_cast<int64_t>(members.size()) * columns, size, size, 3}, 1);  // white
  for (size_t i = 0; i < tiles.size(); ++i)
    sheet.slice(tiles[i], tiles[i] + 1).copy_from(images.slice(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1));
  Picture picture = draw_sheet(sheet, columns, plain);
  picture.caption = fmt::format("a row a cluster{}, the images nearest to its centre first",
                                all ? "" : fmt::format(", the {} largest", most_rows));
  return picture;
}

}  // namespace gestalt
