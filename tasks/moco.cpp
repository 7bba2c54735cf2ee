// MoCo v2: a view's key, from a slowly moving encoder, is told from a queue of the keys of batches before.
// He et al. 2020, "Momentum contrast for unsupervised visual representation learning", algorithm 1; Chen, Fan, Girshick
// and He 2020, "Improved baselines with momentum contrastive learning".
#include "engine/nn/queue.h"
#include "engine/ops/info_nce.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "models/norm_groups.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// As in the authors' CIFAR code, images pass batch norm in groups, keys in other groups than queries. Key encoder:
// parameters are averaged, statistics are its own.
class Moco : public ImageMethod {
 public:
  Moco() {
    run.batch = 256;
    optimizer.kind = "sgd";
    optimizer.rate = 0.03;
    optimizer.decay = 5e-4;
  }

  void own_fields(Fields& f) override {
    f.title("MoCo");
    f("temperature", temperature_, "softmax temperature (τ)", at_least(0.0137));
    f("queue", queue_length_, "keys that a query is told from; a multiple of the keys of a step",
      between(1, int64_t{1} << 31));
    f("key-momentum", momentum_, "share of itself that the key encoder keeps in a step, at the beginning",
      between(0, 1));
    f("key-momentum-end", momentum_end_, "the same at the end; a cosine leads there", between(0, 1));
    f("symmetric", symmetric_, "both views are queries once, and both losses are added");
    f("norm-groups", norm_groups_, "groups of a batch that pass batch norm apart; 1 lets keys be told by statistics",
      between(1, 1 << 20));
    f("head-hidden", head_hidden_, "width of the projection head's hidden layer", between(1, 1 << 20));
    f("head-out", head_out_, "width of the projection", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projection head", between(1, 1000));
  }

  void build_heads(Random& random) override {
    check_queue("moco", queue_length_, run.batch * (symmetric_ ? 2 : 1), run.batch, learned_images());
    groups_ = NormGroups("moco", norm_groups_, run.batch);
    const auto head = [&] {
      return MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, false, random);
    };
    head_ = head();
    key_encoder_ = new_encoder(random);
    key_head_ = head();
    query_ = Group({{"encoder", encoder_.get()}, {"head", &head_}});
    key_ = Group({{"encoder", key_encoder_.get()}, {"head", &key_head_}});
    copy_parts(query_, key_);
    queue_ = Queue(queue_length_, head_out_, random);
  }

  void plan(Plan& p) override { p.teacher(key_, query_, Schedule::cosine(momentum_, momentum_end_, p.total_steps)); }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const std::vector<Tensor> view = split_views(batch.views[0], 2);
    const Tensor q = queries(view[0]), k = keys(view[1]);
    const auto contrast = [&](const Tensor& of, const Tensor& key) {
      return info_nce(of, key, {.temperature = temperature_, .negatives = queue_.rows(), .batch_negatives = false});
    };
    ContrastLoss total = contrast(q, k);
    if (symmetric_) {
      const Tensor other_keys = keys(view[0]);
      const ContrastLoss other = contrast(queries(view[1]), other_keys);
      total = {add(total.loss, other.loss), scale(add(total.accuracy, other.accuracy), 0.5)};
      queue_.push(k), queue_.push(other_keys);
    } else {
      queue_.push(k);
    }
    return {total.loss, q, {{"accuracy", total.accuracy}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and({accuracy_by_chance(queue_length_ + 1)});
  }
  std::string collapse_cure() const override {
    return momentum_ < 0.5 ? "MoCo needs a key encoder that moves slowly: run with --key-momentum 0.99"
                           : "try a lower --lr, a longer --queue or a --key-momentum nearer to 1";
  }

  void visit(Visitor& v) override {
    query_.visit(v);
    v.state("key", key_);
    v.state("queue", queue_);
    v.state("groups", groups_);
  }

 private:
  Tensor queries(const Tensor& images) {  // (B, head_out)
    return groups_.neighbours(images, [&](const Tensor& x) { return head_(encoder_->forward(x, true), true); });
  }
  Tensor keys(const Tensor& images) {  // (B, head_out), unit rows
    const NoGrad off;
    return normalize(
        groups_.mixed(images, [&](const Tensor& x) { return key_head_(key_encoder_->forward(x, true), true); }));
  }

  double temperature_ = 0.1, momentum_ = 0.99, momentum_end_ = 0.99;
  int64_t queue_length_ = 4096, norm_groups_ = 8, head_hidden_ = 512, head_out_ = 128, head_layers_ = 2;
  bool symmetric_ = false;
  MlpHead head_, key_head_;
  std::unique_ptr<Encoder> key_encoder_;
  Group query_, key_;
  Queue queue_;
  NormGroups groups_;
};

const RegisterMethod<Moco> moco(
    "moco", "MoCo v2 (He et al. 2020; Chen et al. 2020): tell a slowly moving encoder's key from a queue of others");

}  // namespace
}  // namespace gestalt
