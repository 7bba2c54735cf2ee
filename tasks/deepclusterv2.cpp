// DeepCluster v2: embeddings of the epoch before are clustered, and crops told which cluster their image is in.
// Caron et al. 2020, "Unsupervised learning of visual features by contrasting cluster assignments", section 4.
#include "engine/data/images/views.h"
#include "engine/nn/bank.h"
#include "engine/nn/pseudo_labels.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/product.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// A memory for each large crop holds every image's last embedding. Each clustering groups those of one memory by
// spherical k-means at the beginning of an epoch; its centres are the prototypes of that epoch.
class DeepClusterV2 : public ImageMethod {
 public:
  DeepClusterV2() {
    run.batch = 256;
    optimizer.kind = "lars", optimizer.rate = 0.6, optimizer.decay = 1e-6;
    augment.blur = 0.5;
  }

  void own_fields(Fields& f) override {
    f.title("DeepCluster v2");
    local_.fields(f);
    f("clusters", clusters_, "clusters of a clustering, each with a prototype; 15 images or more a cluster",
      between(2, 1 << 20));
    f("clusterings", clusterings_, "clusterings of the images; the loss is the mean over them", between(1, 1000));
    f("kmeans-iterations", iterations_, "iterations of k-means at the beginning of an epoch", between(1, 100000));
    f("temperature", temperature_, "softmax temperature", above(0));
    f("head-hidden", head_hidden_, "width of the projection head's hidden layer", between(1, 1 << 20));
    f("head-out", head_out_, "width of the embedding", between(1, 1 << 20));
  }

  std::vector<ViewGroup> views() const override {
    std::vector<ViewGroup> groups = ImageMethod::views();
    local_.add_to(groups, augment, image_size);
    return groups;
  }

  void build_heads(Random& random) override {
    head_ = MlpHead(encoder_->features(), head_hidden_, head_out_, 2, true, random);
    prototypes_ = Tensor::zeros({clusterings_, clusters_, head_out_});
    check_clusters("deepclusterv2", clusters_, learned_images());
    if (learned_images() == 0) return;  // only looked at
    for (FeatureBank& memory : memories_) memory = FeatureBank(learned_images(), head_out_);
    labels_ = PseudoLabels(clusterings_, learned_images());
  }

  void begin_epoch(int64_t epoch) override {
    const NoGrad off;
    if (epoch == 0)
      for_each_batch(before_training, [&](const Tensor& views, const Tensor& samples) {
        remember(embed(encoder_->forward(views, true)), samples);
      });
    std::vector<Clusters> found;
    for (int64_t c = 0; c < clusterings_; ++c) {
      found.push_back(k_means(memories_[c % 2].rows(), {.clusters = clusters_,
                                                        .iterations = iterations_,
                                                        .spherical = true,
                                                        .seeding = Seeding::samples,
                                                        .empty = EmptyCluster::keep,
                                                        .tolerance = 0,
                                                        .seed = static_cast<uint64_t>(run.seed),
                                                        .round = static_cast<uint64_t>(epoch * clusterings_ + c)}));
      prototypes(c).copy_from(found.back().centres);
    }
    labels_.renew(found, images().pretrain->labels());
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    Tensor h = encoder_->forward(batch.views[0], true);
    if (batch.views.size() > 1) h = concat(h, encoder_->forward(batch.views[1], true));  // ((2 + local)·B, F)
    const Tensor z = embed(h);
    const int64_t crops = z.dim(0) / batch.samples.dim(0);
    Tensor total;
    for (int64_t c = 0; c < clusterings_; ++c) {
      const Tensor cosines = matmul(z, prototypes(c).as_operand(z.dtype()), false, true);
      const Tensor one = cross_entropy(scale(cosines, 1 / temperature_), labels_.of(c, batch.samples, crops));
      total = total ? add(total, one) : one;
    }
    remember(z.detach(), batch.samples);
    Loss result{scale(total, 1.0 / static_cast<double>(clusterings_)), z};
    for (const auto& [name, value] : labels_.figures(!images().pretrain->labels().empty()))
      result.terms.push_back({name, value});
    return result;
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and({{"empty_clusters", CollapseSign::Side::above, 0.5, "most clusters hold no image"}});
  }
  std::string collapse_cure() const override { return "try a lower --weight-decay or --lr, or fewer --clusters"; }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("head", head_);
    v.state("memory.0", memories_[0]), v.state("memory.1", memories_[1]);
    v.state("prototypes", prototypes_), v.state("clusters", labels_);
  }

 private:
  static constexpr uint64_t before_training = uint64_t{1} << 55;  // a step that no run gets to

  Tensor embed(const Tensor& features) { return normalize(head_(features, true)); }
  void remember(const Tensor& z, const Tensor& samples) {  // z begins with the two large crops
    const int64_t count = samples.dim(0);
    for (int64_t crop = 0; crop < 2; ++crop) memories_[crop].store(z.slice(crop * count, (crop + 1) * count), samples);
  }
  Tensor prototypes(int64_t c) const { return prototypes_.slice(c, c + 1).reshape({clusters_, head_out_}); }

  LocalViewOptions local_;
  int64_t clusters_ = 3000, clusterings_ = 3, iterations_ = 10, head_hidden_ = 2048, head_out_ = 128;
  double temperature_ = 0.1;
  MlpHead head_;
  FeatureBank memories_[2];
  Tensor prototypes_;  // (clusterings, clusters, head_out), unit rows
  PseudoLabels labels_;
};

const RegisterMethod<DeepClusterV2> deepclusterv2(
    "deepclusterv2", "DeepCluster v2 (Caron et al. 2020): tell which cluster of embeddings a crop's image is in");

}  // namespace
}  // namespace gestalt
