// NNCLR: the nearest of a queue of embeddings stands for a view, and is to be told from the batch's other neighbours.
// Dwibedi et al. 2021, "With a little help from my friends", equations 2 to 5.
#include <algorithm>

#include "engine/data/images/views.h"
#include "engine/nn/queue.h"
#include "engine/ops/info_nce.h"
#include "engine/ops/knn.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/rows.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// Both orders of the views, averaged; neighbours are rows and predictions columns of the softmax. The queue takes the
// first view's embeddings, after they were used. Each view passes batch norm by itself.
class Nnclr : public ImageMethod {
 public:
  Nnclr() {
    run.batch = 256;
    optimizer.kind = "lars";
    optimizer.rate = 0.4;
    optimizer.decay = 1e-5;
    optimizer.clip_local = true;
    optimizer.warmup_epochs = 10;
    augment.saturation = 0.2;
  }

  void own_fields(Fields& f) override {
    f.title("NNCLR");
    second_.fields(f);
    f("temperature", temperature_, "softmax temperature (τ)", at_least(0.0137));
    f("queue", queue_length_, "embeddings that neighbours are looked for among; a multiple of the batch",
      between(1, int64_t{1} << 31));
    f("head-hidden", head_hidden_, "width of the projector's hidden layers", between(1, 1 << 20));
    f("head-out", head_out_, "width of the embedding", between(1, 1 << 20));
    f("head-layers", head_layers_, "linear layers of the projector", between(1, 1000));
    f("predictor-hidden", predictor_hidden_, "width of the predictor's hidden layer", between(1, 1 << 20));
  }

  std::vector<ViewGroup> views() const override {
    return {{{augment.parameters(), second_.of(augment).parameters()}, image_size}};
  }

  void build_heads(Random& random) override {
    check_queue("nnclr", queue_length_, run.batch, run.batch, learned_images());
    projector_ = MlpHead(encoder_->features(), head_hidden_, head_out_, head_layers_, true, random, true);
    predictor_ = MlpHead(head_out_, predictor_hidden_, head_out_, 2, true, random);
    queue_ = Queue(queue_length_, head_out_, random);
    queue_classes_ = Queue(queue_length_, -1);
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    Tensor z[2], p[2];  // (B, head_out)
    for (int v = 0; const Tensor& view : split_views(batch.views[0], 2)) {
      z[v] = projector_(encoder_->forward(view, true), true);
      p[v] = predictor_(z[v], true);
      ++v;
    }
    const Tensor near[2] = {nearest(z[0]), nearest(z[1])};  // (B), rows of the queue
    const ContrastLoss one = info_nce(neighbours(near[0], z[0]), p[1], {.temperature = temperature_});
    const ContrastLoss other = info_nce(neighbours(near[1], z[1]), p[0], {.temperature = temperature_});
    Loss made{scale(add(one.loss, other.loss), 0.5), z[0]};
    const NoGrad off;
    made.terms = {{"accuracy", scale(add(one.accuracy, other.accuracy), 0.5)}, {"used_neighbours", used(near[0])}};
    if (labelled()) {
      const Tensor classes = batch.labels.reshape({batch.labels.dim(0), 1}).to(DType::f32);
      made.terms.push_back({"class_share", scale(add(same(near[0], classes), same(near[1], classes)), 0.5)});
      queue_classes_.push(classes);
    }
    queue_.push(normalize(z[0].detach()));
    return made;
  }

  Wants wants() const override {
    Wants w = ImageMethod::wants();
    w.labels = labelled();  // for a column of metrics.csv alone
    return w;
  }
  std::vector<CollapseSign> collapse_signs() const override {
    return usual_signs_and(
        {accuracy_by_chance(run.batch),
         {"used_neighbours", CollapseSign::Side::below, std::max(0.05, 2.0 / static_cast<double>(run.batch)),
          "few embeddings of the queue are everybody's neighbours"}});
  }

  void visit(Visitor& v) override {
    ImageMethod::visit(v);
    v("projector", projector_);
    v("predictor", predictor_);
    v.state("queue", queue_);
    v.state("queue_classes", queue_classes_);
  }

 private:
  bool labelled() const { return images().pretrain && !images().pretrain->labels().empty(); }
  Tensor nearest(const Tensor& z) const { return nearest_rows(z.detach().to(DType::f32), queue_.rows()); }
  Tensor neighbours(const Tensor& near, const Tensor& z) const {
    const NoGrad off;
    return embedding(queue_.rows(), near, z.dtype());
  }
  // Of as many rows of the queue as there are images, the share that is the neighbour of one or more.
  Tensor used(const Tensor& near) const {
    const Tensor counts = counts_of(near, queue_length_).reshape({queue_length_, 1});
    const Tensor repeats = relu(add_row(counts, Tensor::full({1}, -1, DType::f32, counts.device())));
    const Tensor one = Tensor::full({1}, 1, DType::f32, counts.device());
    return subtract(one, scale(sum(repeats), 1 / static_cast<double>(near.dim(0))));
  }
  // The share of neighbours that are of the images' own class: 1 − d² is positive where numbers are the same.
  Tensor same(const Tensor& near, const Tensor& classes) const {
    const Tensor d = subtract(embedding(queue_classes_.rows(), near), classes);
    return mean(relu(subtract(Tensor::full(d.shape(), 1, DType::f32, d.device()), multiply(d, d))));
  }

  double temperature_ = 0.2;
  int64_t queue_length_ = 16384, head_hidden_ = 2048, head_out_ = 256, head_layers_ = 2, predictor_hidden_ = 4096;
  SecondViewOptions second_{.solarize = 0.2};
  MlpHead projector_, predictor_;
  Queue queue_, queue_classes_;
};

const RegisterMethod<Nnclr> nnclr(
    "nnclr", "NNCLR (Dwibedi et al. 2021): the nearest of a queue stands for a view and agrees with the other's");

}  // namespace
}  // namespace gestalt
