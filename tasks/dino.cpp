// DINO: a student gives small and large crops of an image the distribution over prototypes that its teacher gives the
// large ones. Caron et al. 2021, "Emerging properties in self-supervised vision transformers", algorithm 1.
#include <cmath>

#include "engine/data/images/views.h"
#include "engine/ops/pointwise.h"
#include "engine/ops/soft_cross_entropy.h"
#include "engine/ops/tokens.h"
#include "engine/tensor/autograd.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// The teacher is the student's moving average, parameters only, and passes batch norm by the statistics of its batch.
// Its logits are centred against one prototype winning everything, and sharpened against all being alike.
class Dino : public ImageMethod {
 public:
  Dino() {
    run.batch = 256;
    model.model = "vit-tiny";
    model.vit.pool = "cls";
    optimizer = {.kind = "adamw",
                 .rate = 5e-4,
                 .decay = 0.04,
                 .decay_end = 0.4,
                 .clip = 3,
                 .clip_each = true,
                 .warmup_epochs = 10,
                 .final_rate = 2e-3};
    augment.crop_min = 0.4;
    augment.saturation = 0.2;
    augment.blur = 1;
  }

  void own_fields(Fields& f) override {
    f.title("DINO");
    second_.fields(f);
    local_.fields(f);
    head_.fields(f);
    f("student-temperature", student_temperature_, "softmax temperature of the student", above(0));
    f("teacher-temperature", warm_temperature_, "that of the teacher at the beginning", above(0));
    f("teacher-temperature-end", teacher_temperature_end_, "the same after its warm-up, which is linear", above(0));
    f("teacher-temperature-epochs", warm_epochs_, "epochs of that warm-up", between(0, 1e9));
    f("teacher-momentum", momentum_, "share of itself that the teacher keeps in a step, at first", between(0, 1));
    f("teacher-momentum-end", momentum_end_, "the same at the end; a cosine leads there", between(0, 1));
    f("centre", centred_, "take the mean of the teacher's logits off them; without this DINO collapses");
    f("freeze-last-epochs", freeze_epochs_, "epochs before the head's last layer begins to learn", between(0, 1e9));
  }

  std::vector<ViewGroup> views() const override {
    std::vector<ViewGroup> groups{{{augment.parameters(), second_.of(augment).parameters()}, image_size}};
    local_.add_to(groups, augment, image_size);
    return groups;
  }

  void build_heads(Random& random) override {
    student_head_ = DinoHead(encoder_->features(), head_, random);
    teacher_encoder_ = new_encoder(random);
    teacher_head_ = DinoHead(encoder_->features(), head_, random);
    student_ = Group({{"encoder", encoder_.get()}, {"head", &student_head_}});
    teacher_ = Group({{"encoder", teacher_encoder_.get()}, {"head", &teacher_head_}});
    copy_parts(student_, teacher_);
    centre_ = Tensor::zeros({head_.out});
  }

  void plan(Plan& p) override {
    p.teacher(teacher_, student_, Schedule::cosine(momentum_, momentum_end_, p.total_steps));
    const double begin = warm_epochs_ > 0 ? warm_temperature_ : teacher_temperature_end_;
    p.schedule(teacher_temperature_, Schedule::linear(begin, teacher_temperature_end_, p.steps_of(warm_epochs_)));
  }
  PartFactors factors(const std::string& part, const Plan& p) const override {
    return {.frozen_steps = part == "student.head.last_layer.weight" ? p.steps_of(freeze_epochs_) : 0};
  }

  Loss loss(const Batch& batch, const StepInfo&) override {
    const Tensor targets = teach(batch.views[0]);  // (2B, K): the teacher sees the large views
    Tensor h = encoder_->forward(batch.views[0], true);
    if (batch.views.size() > 1) h = concat(h, encoder_->forward(batch.views[1], true));  // ((2 + local)·B, F)
    const auto [loss, entropy, kl] = soft_cross_entropy(
        student_head_(h, true), targets, batch.views[0].dim(0) / 2,
        {.temperature = student_temperature_, .target_temperature = teacher_temperature_.now(), .centre = centre_});
    const NoGrad off;
    const Tensor centred = add_row(targets, scale(centre_, -1));
    if (centred_) update_centre(centre_, targets);
    return {loss, centred, {{"teacher_entropy", entropy}, {"kl", kl}}};
  }

  std::vector<CollapseSign> collapse_signs() const override {
    std::vector<CollapseSign> signs = ImageMethod::collapse_signs();
    signs.push_back({"teacher_entropy", CollapseSign::Side::above, 0.99 * std::log(head_.out), "prototypes are alike",
                     "try a lower --teacher-temperature and --teacher-temperature-end, which sharpen"});
    return signs;
  }
  std::string collapse_cure() const override {
    return centred_ ? "try a lower --teacher-temperature-end, a lower --lr or a longer --freeze-last-epochs"
                    : "DINO needs its centre: run without --no-centre";
  }
  Encoder& encoder() override { return *teacher_encoder_; }

  void visit(Visitor& v) override {
    v("student", student_);
    v.state("teacher", teacher_), v.state("centre", centre_);
  }

 private:
  Tensor teach(const Tensor& images) {
    const NoGrad off;
    return teacher_head_(teacher_encoder_->forward(images, true), true);
  }

  SecondViewOptions second_{.blur = 0.1};
  LocalViewOptions local_;
  DinoHeadOptions head_;
  double student_temperature_ = 0.1, warm_temperature_ = 0.04, teacher_temperature_end_ = 0.07, warm_epochs_ = 30;
  double momentum_ = 0.996, momentum_end_ = 1, freeze_epochs_ = 1;
  bool centred_ = true;
  DinoHead student_head_, teacher_head_;
  std::unique_ptr<Encoder> teacher_encoder_;
  Group student_, teacher_;
  Tensor centre_;  // (K)
  Scheduled teacher_temperature_;
};

const RegisterMethod<Dino> dino(
    "dino", "DINO (Caron et al. 2021): give crops the distribution that the moving average gives the whole");

}  // namespace
}  // namespace gestalt
