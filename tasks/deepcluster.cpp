// DeepCluster: features of all images are clustered, and the encoder is trained to tell which cluster an image is in.
// Caron et al. 2018, "Deep clustering for unsupervised learning of visual features".
#include "engine/nn/bank.h"
#include "engine/nn/layers.h"
#include "engine/nn/pca.h"
#include "engine/nn/pseudo_labels.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "kernels/philox.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// At the beginning of an epoch the encoder's features are whitened, cut to their principal directions, given unit
// length and clustered anew, and a fresh linear classifier takes the place of the one before, since numbers of clusters
// mean nothing. The paper draws images so that clusters come up alike; here images weigh more in small clusters, as in
// mmselfsup. Its Sobel filter, which takes colour away, is not there: jitter stands in for it.
class DeepCluster : public ImageMethod {
 public:
  DeepCluster() {
    run.batch = 256;
    optimizer.rate = 0.05;
    optimizer.rate_scaling = "none";
    optimizer.decay = 1e-5;
    optimizer.final_rate = 1;
  }

  void own_fields(Fields& f) override {
    f.title("DeepCluster");
    f("clusters", clusters_, "clusters of the images, 15 images or more a cluster; ten times the classes expected",
      between(2, 1 << 20));
    f("directions", directions_, "principal directions of the features that are clustered, at most",
      between(1, 1 << 20));
    f("kmeans-iterations", iterations_, "iterations of k-means at the beginning of an epoch", between(1, 100000));
    f("balance", balance_, "an image weighs (1 / its cluster's size) to this power; 1: clusters weigh alike",
      between(0, 1));
    f("head-lr", head_rate_, "learning rate of the classifier, which has no momentum", above(0));
  }

  std::vector<ViewGroup> views() const override { return {{{augment.parameters()}, image_size}}; }
  std::vector<Network> networks() const override {
    OptimizerOptions head = optimizer;
    head.kind = "sgd", head.momentum = 0, head.rate = head_rate_;
    return {{"encoder", "encoder.", optimizer}, {"head", "head.", head}};
  }

  void build_heads(Random& random) override {
    head_ = Linear(encoder_->features(), clusters_, random);
    check_clusters("deepcluster", clusters_, learned_images());
    if (learned_images() == 0) return;  // only looked at
    labels_ = PseudoLabels(1, learned_images());
    weights_ = Tensor::full({learned_images(), 1}, 1);
  }

  void begin_epoch(int64_t epoch) override {
    const NoGrad off;
    const int64_t images = learned_images(), features = encoder_->features();
    FeatureBank bank(images, features);
    move_to(bank, run.resolved_device());
    for_each_batch(
        {}, [&](const Tensor& views, const Tensor& samples) { bank.store(encoder_->forward(views, false), samples); });
    const Tensor white = pca_whiten(bank.rows(), std::min({directions_, images, features}));
    const Clusters found = k_means(normalize(white), {.clusters = clusters_,
                                                      .iterations = iterations_,
                                                      .seeding = Seeding::samples,
                                                      .tolerance = 0,
                                                      .seed = static_cast<uint64_t>(run.seed),
                                                      .round = static_cast<uint64_t>(epoch)});
    labels_.renew({found}, this->images().pretrain->labels());
    weights_.copy_from(labels_.balance(0, balance_).reshape({images, 1}));
    const Philox4 block =
        draw(static_cast<uint64_t>(run.seed), Use::clusters, static_cast<uint64_t>(epoch), UINT32_MAX, 0);
    Random random(uint64_t{block.word[0]} << 32 | block.word[1]);
    head_.weight.copy_from(random.normal(head_.weight.shape(), 0, 0.01));
    head_.bias.fill(0);
  }

  // The encoder's turn, then the classifier's on the same features.
  Loss loss(const Batch& batch, const StepInfo& info) override {
    if (info.network == 0) features_ = encoder_->forward(batch.views[0], true);
    const Tensor h = info.network == 0 ? features_ : features_.detach();
    const int64_t count = h.dim(0);
    const Tensor log_p = log_softmax(head_(h).to(DType::f32)).reshape({count, clusters_, 1});
    const Tensor own = gather_rows(log_p, labels_.of(0, batch.samples).reshape({count, 1})).reshape({count});
    const Tensor weights = embedding(weights_, batch.samples).reshape({count});
    Loss result{scale(sum(multiply(own, weights)), -1.0 / static_cast<double>(count)), {}};
    if (info.network == 1) return features_ = {}, result;
    result.features = h;
    for (const auto& [name, value] : labels_.figures(!images().pretrain->labels().empty()))
      result.terms.push_back({name, value});
    features_ = features_.detach();
    return result;
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and({{"empty_clusters", CollapseSign::Side::above, 0.5, "most clusters hold no image"}});
  }
  std::string collapse_cure() const override {
    return "try --balance 1, fewer --clusters, or a lower --weight-decay or --lr";
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("head", head_);
    v.state("clusters", labels_), v.state("weights", weights_);
  }

 private:
  int64_t clusters_ = 100, directions_ = 256, iterations_ = 20;
  double balance_ = 0.5, head_rate_ = 0.05;
  Linear head_;
  PseudoLabels labels_;
  Tensor weights_;   // (images, 1)
  Tensor features_;  // from the encoder's turn to the classifier's
};

const RegisterMethod<DeepCluster> deepcluster(
    "deepcluster", "DeepCluster (Caron et al. 2018): tell which cluster of all images' features an image is in");

}  // namespace
}  // namespace gestalt
