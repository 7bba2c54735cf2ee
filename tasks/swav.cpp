// SwAV: a crop of an image predicts to which prototypes another of its crops was assigned, while assignments share the
// prototypes out evenly. Caron et al. 2020, "… by contrasting cluster assignments", equations 1 to 5, algorithm 1.
#include <cmath>

#include "engine/data/images/views.h"
#include "engine/nn/prototypes.h"
#include "engine/nn/queue.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/ops/sinkhorn.h"
#include "engine/ops/soft_cross_entropy.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// The two large views are assigned, each beside a queue of its own embeddings of batches before; all views predict.
// Queues are filled from the first step on, and used once they are full and their epoch has come.
class Swav : public ImageMethod {
 public:
  Swav() {
    run.batch = 256;
    optimizer = {.kind = "lars", .rate = 0.6, .decay = 1e-6, .clip_local = true, .warmup_epochs = 10};
    augment.brightness = augment.contrast = augment.saturation = 0.8;
    augment.crop_min = 0.14, augment.hue = 0.2, augment.blur = 0.5;
  }

  void own_fields(Fields& f) override {
    f.title("SwAV");
    local_.fields(f);
    f("temperature", temperature_, "softmax temperature of the predictions", above(0));
    f("sinkhorn-epsilon", epsilon_, "that of the assignments: the smaller, the nearer to one prototype each", above(0));
    f("sinkhorn-rounds", rounds_, "rounds that share prototypes out evenly; 0 collapses", between(0, 1000));
    f("prototypes", prototype_count_, "prototypes; ten times the classes that one expects, say", between(2, 1 << 20));
    f("freeze-prototypes-epochs", freeze_epochs_, "epochs before they begin to learn", between(0, 1e9));
    f("queue", queue_length_, "embeddings of batches before that are assigned too; a multiple of the batch, or 0",
      between(0, int64_t{1} << 31));
    f("queue-epochs", queue_epochs_, "epochs at the beginning that do without the queue", between(0, 1e9));
    f("head-hidden", head_hidden_, "width of the projection head's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the embedding", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projection head", between(1, 1000));
  }

  std::vector<ViewGroup> views() const override {
    std::vector<ViewGroup> groups = ImageMethod::views();
    local_.add_to(groups, augment, image_size);
    return groups;
  }

  void build_heads(Random& random) override {
    const int64_t count = images().pretrain->size();
    check_prototypes("swav", prototype_count_, count);
    head_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, true, random);
    prototypes_ = Prototypes(prototype_count_, head_out_, random);
    if (queue_length_ == 0) return;
    check_queue("swav", queue_length_, run.batch, run.batch, count);
    for (int i = 0; i < 2; ++i) queues_.emplace_back(queue_length_, head_out_, random);
  }

  void plan(Plan& p) override {
    const int64_t a_step = run.batch * run.accumulate, full = (queue_length_ + a_step - 1) / a_step;
    p.schedule(use_queue_, Schedule::jump(0, 1, std::max(full, p.steps_of(queue_epochs_))));
  }
  PartFactors factors(const std::string& part, const Plan& p) const override {
    return {.frozen_steps = part == "prototypes.weight" ? p.steps_of(freeze_epochs_) : 0};
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    prototypes_.bring_to_unit_length();
    Tensor h = encoder_->forward(batch.views[0], true);
    if (batch.views.size() > 1) h = concat(h, encoder_->forward(batch.views[1], true));  // ((2 + local)·B, F)
    const Tensor z = normalize(head_(h, true)), scores = prototypes_(z);  // (…, head_out), (…, prototypes)
    const int64_t images = batch.views[0].dim(0) / 2;
    const Assignment one = assign(z, scores, images, 0), other = assign(z, scores, images, 1);
    const auto [loss, entropy, kl] = soft_cross_entropy(scores, concat(one.rows, other.rows), images,
                                                        {.temperature = temperature_, .probabilities = true});
    const Tensor mean = scale(add(one.mean_entropy, other.mean_entropy), 0.5);
    const Tensor used = scale(add(one.used, other.used), 0.5), large = z.slice(0, 2 * images);
    return {loss, large, {{"row_entropy", entropy}, {"kl", kl}, {"mean_entropy", mean}, {"used_prototypes", used}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and(
        {{"row_entropy", CollapseSign::Side::above, 0.995 * std::log(static_cast<double>(prototype_count_)),
          "every image is assigned to all prototypes alike"},
         {"used_prototypes", CollapseSign::Side::below, 0.1, "few prototypes take all images"}});
  }
  std::string collapse_cure() const override {
    return rounds_ == 0 ? "SwAV needs its even shares: run with --sinkhorn-rounds 3"
                        : "try --sinkhorn-epsilon 0.03, fewer --prototypes, a lower --lr or more --queue-epochs";
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v), v("head", head_), v("prototypes", prototypes_);
    for (size_t i = 0; i < queues_.size(); ++i) v.state("queues." + std::to_string(i), queues_[i]);
  }

 private:
  // Of view v; its embeddings enter its queue after that was used.
  Assignment assign(const Tensor& z, const Tensor& scores, int64_t images, int64_t v) {
    const NoGrad off;
    const int64_t begin = v * images, end = begin + images;
    SinkhornOptions options{.epsilon = epsilon_, .rounds = rounds_};
    if (queues_.empty()) return sinkhorn(scores.slice(begin, end), options);
    Queue& queue = queues_[static_cast<size_t>(v)];
    options.extra = prototypes_(queue.rows());
    options.use_extra = use_queue_.now();
    const Assignment result = sinkhorn(scores.slice(begin, end), options);
    queue.push(z.slice(begin, end));
    return result;
  }

  LocalViewOptions local_{.crop_max = 0.14};
  double temperature_ = 0.1, epsilon_ = 0.05, freeze_epochs_ = 1, queue_epochs_ = 15;
  int64_t rounds_ = 3, prototype_count_ = 512, queue_length_ = 3840;
  int64_t head_hidden_ = 2048, head_out_ = 128, head_layers_ = 2;
  MlpHead head_;
  Prototypes prototypes_;
  std::vector<Queue> queues_;
  Scheduled use_queue_;
};

const RegisterMethod<Swav> swav(
    "swav", "SwAV (Caron et al. 2020): predict from one crop to which prototypes another one was assigned");

}  // namespace
}  // namespace gestalt
