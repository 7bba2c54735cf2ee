// MoCo v2: a view's key, from a slowly moving encoder, is told from a queue of the keys of batches before.
// He et al. 2020, "Momentum contrast for unsupervised visual representation learning", algorithm 1; Chen, Fan, Girshick
// and He 2020, "Improved baselines with momentum contrastive learning".
#include "engine/nn/queue.h"
#include "engine/ops/info_nce.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// Batch norm over a whole batch would tell a key by the statistics that it shares with its query. As in the authors'
// CIFAR code, images pass in groups as if on several devices, and keys in other groups than queries; running statistics
// here move once for each group. Key encoder: parameters are averaged, statistics are its own.
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
    check_queue("moco", queue_length_, run.batch * (symmetric_ ? 2 : 1), run.batch, images().pretrain->size());
    check(norm_groups_ >= 1 && run.batch % norm_groups_ == 0 && run.batch > norm_groups_,
          "[moco] got --norm-groups {} with --batch {}, expected groups of one size, 2 or more; use --norm-groups 1 or "
          "another --batch",
          norm_groups_, run.batch);
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
    // Image i passes in group i mod groups as a key, and in group i / (B / groups) as a query.
    std::vector<int32_t> order, back(static_cast<size_t>(run.batch));
    for (int64_t g = 0; g < norm_groups_; ++g)
      for (int64_t i = g; i < run.batch; i += norm_groups_) {
        back[static_cast<size_t>(i)] = static_cast<int32_t>(order.size());
        order.push_back(static_cast<int32_t>(i));
      }
    order_ = Tensor::from(order, {1, run.batch});
    back_ = Tensor::from(back, {1, run.batch});
  }

  void plan(Plan& p) override { p.teacher(key_, query_, Schedule::cosine(momentum_, momentum_end_, p.total_steps)); }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const std::vector<Tensor> view = split_views(batch.views[0], 2);
    const Tensor q = by_groups(*encoder_, head_, view[0]), k = keys(view[1]);
    const auto contrast = [&](const Tensor& queries, const Tensor& of) {
      return info_nce(queries, of, {.temperature = temperature_, .negatives = queue_.rows(), .batch_negatives = false});
    };
    ContrastLoss total = contrast(q, k);
    if (symmetric_) {
      const Tensor other_keys = keys(view[0]);
      const ContrastLoss other = contrast(by_groups(*encoder_, head_, view[1]), other_keys);
      total = {add(total.loss, other.loss), scale(add(total.accuracy, other.accuracy), 0.5)};
      queue_.push(k), queue_.push(other_keys);
    } else {
      queue_.push(k);
    }
    return {total.loss, q, {{"accuracy", total.accuracy}}};
  }

  std::string collapse_cure() const override {
    return momentum_ < 0.5 ? "MoCo needs a key encoder that moves slowly: run with --key-momentum 0.99"
                           : "try a lower --lr, a longer --queue or a --key-momentum nearer to 1";
  }

  void visit(Visitor& v) override {
    query_.visit(v);
    v.state("key", key_);
    v.state("queue", queue_);
    v.state("order", order_);
    v.state("back", back_);
  }

 private:
  // (B, head_out), each group of neighbouring images by itself.
  Tensor by_groups(Encoder& encoder, MlpHead& head, const Tensor& images) const {
    Tensor all;
    for (const Tensor& group : split_views(images, norm_groups_)) {
      const Tensor z = head(encoder.forward(group, true), true);
      all = all ? concat(all, z) : z;
    }
    return all;
  }
  // Unit rows; images are put in other groups on the way.
  Tensor keys(const Tensor& images) {
    const NoGrad off;
    if (norm_groups_ == 1) return normalize(by_groups(*key_encoder_, key_head_, images));
    const Shape& shape = images.shape();
    const auto place = [](const Tensor& x, const Tensor& index) {
      return gather_rows(x.reshape({1, x.dim(0), x.count() / x.dim(0)}), index);
    };
    const Tensor k = by_groups(*key_encoder_, key_head_, place(images, order_).reshape(shape));
    return normalize(place(k, back_).reshape(k.shape()));
  }

  double temperature_ = 0.1, momentum_ = 0.99, momentum_end_ = 0.99;
  int64_t queue_length_ = 4096, norm_groups_ = 8, head_hidden_ = 512, head_out_ = 128, head_layers_ = 2;
  bool symmetric_ = false;
  MlpHead head_, key_head_;
  std::unique_ptr<Encoder> key_encoder_;
  Group query_, key_;
  Queue queue_;
  Tensor order_, back_;  // (1, B) i32: the image in each place of the keys' groups, and the place of each image
};

const RegisterMethod<Moco> moco(
    "moco", "MoCo v2 (He et al. 2020; Chen et al. 2020): tell a slowly moving encoder's key from a queue of others");

}  // namespace
}  // namespace gestalt
