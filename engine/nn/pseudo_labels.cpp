// Keeping clusters as labels, and comparing them with those before.
#include "engine/nn/pseudo_labels.h"

#include <algorithm>
#include <cmath>

#include "engine/nn/bank.h"
#include "engine/nn/partitions.h"

namespace gestalt {
namespace {

std::span<const int32_t> numbers_in(const Tensor& x) { return {x.data<int32_t>(), static_cast<size_t>(x.count())}; }

}  // namespace

PseudoLabels::PseudoLabels(int64_t clusterings, int64_t samples)
    : labels_(Tensor::from(std::vector<int32_t>(clusterings * samples, 0), {clusterings, samples})),
      figures_(Tensor::zeros({3})) {}

void PseudoLabels::renew(const std::vector<Clusters>& found, std::span<const int32_t> classes) {
  check(static_cast<int64_t>(found.size()) == labels_.dim(0), "[pseudo_labels] got {} clusterings, expected {}",
        found.size(), labels_.dim(0));
  std::vector<double> figures(3, 0.0);
  for (size_t c = 0; c < found.size(); ++c) {
    Tensor row = labels_.slice(static_cast<int64_t>(c), static_cast<int64_t>(c) + 1);
    const Tensor before = row.to(Device::cpu);
    const std::span<const int32_t> now = numbers_in(found[c].assignments);
    const auto clusterings = static_cast<double>(found.size());
    figures[0] += normalized_mutual_information(now, numbers_in(before)) / clusterings;
    if (!classes.empty()) figures[1] += normalized_mutual_information(now, classes) / clusterings;
    figures[2] += static_cast<double>(found[c].empty) / static_cast<double>(found[c].centres.dim(0)) / clusterings;
    row.copy_from(found[c].assignments.reshape(row.shape()));
  }
  figures_.copy_from(Tensor::from(figures, {3}));
}

Tensor PseudoLabels::of(int64_t clustering, const Tensor& samples, int64_t repeats) const {
  return numbers_of(labels_.slice(clustering, clustering + 1).reshape({labels_.dim(1)}), samples, repeats);
}

Tensor PseudoLabels::balance(int64_t clustering, double power) const {
  const Tensor row = labels_.slice(clustering, clustering + 1).to(Device::cpu);
  const std::span<const int32_t> labels = numbers_in(row);
  std::vector<int64_t> sizes(*std::max_element(labels.begin(), labels.end()) + 1, 0);
  for (int32_t label : labels) ++sizes[label];
  std::vector<double> weights;
  double sum = 0;
  for (int32_t label : labels) {
    weights.push_back(std::pow(static_cast<double>(sizes[label]), -power));
    sum += weights.back();
  }
  for (double& w : weights) w *= static_cast<double>(labels.size()) / sum;
  return Tensor::from(weights, {static_cast<int64_t>(labels.size())}).to(DType::f32);
}

std::vector<std::pair<std::string, Tensor>> PseudoLabels::figures(bool classes) const {
  // Of their own: a value may be read when the next labels are there.
  const auto figure = [&](int64_t i) { return figures_.slice(i, i + 1).clone(); };
  std::vector<std::pair<std::string, Tensor>> all{{"nmi_before", figure(0)}};
  if (classes) all.push_back({"nmi_classes", figure(1)});
  all.push_back({"empty_clusters", figure(2)});
  return all;
}

void PseudoLabels::visit(Visitor& v) {
  v.state("labels", labels_);
  v.state("figures", figures_);
}

void check_clusters(const char* method, int64_t clusters, int64_t images) {
  constexpr int64_t least = 15;  // images a cluster
  check(images == 0 || images >= least * clusters,
        "[{}] got --clusters {} for {} images, expected {} or fewer: clusters of fewer than {} images say little of "
        "others; {}",
        method, clusters, images, images / least, least,
        images >= 2 * least ? fmt::format("use --clusters {}", images / least) : std::string("use more images"));
}

}  // namespace gestalt
