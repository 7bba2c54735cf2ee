// SelfDistillation: fields, networks, and what changes along a run.
#include "tasks/training/self_distillation.h"

#include <cmath>

namespace gestalt {

SelfDistillation::SelfDistillation() {
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

void SelfDistillation::own_fields(Fields& f) {
  second_.fields(f);
  local_.fields(f);
  head_.fields(f);
  f("student-temperature", student_temperature_, "softmax temperature of the student", above(0));
  f("teacher-temperature", warm_temperature_, "that of the teacher at the beginning", above(0));
  f("teacher-temperature-end", teacher_temperature_end_, "the same after its warm-up, which is linear", above(0));
  f("teacher-temperature-epochs", warm_epochs_, "epochs of that warm-up", between(0, 1e9));
  f("teacher-momentum", momentum_, "share of itself that the teacher keeps in a step, at the beginning", between(0, 1));
  f("teacher-momentum-end", momentum_end_, "the same at the end; a cosine leads there", between(0, 1));
  f("centre", centred_, "take the mean of the teacher's logits off them; without this the method collapses");
  f("freeze-last-epochs", freeze_epochs_, "epochs at the beginning in which the head's last layer stays as it is",
    between(0, 1e9));
}

std::vector<ViewGroup> SelfDistillation::views() const {
  std::vector<ViewGroup> groups{{{augment.parameters(), second_.of(augment).parameters()}, image_size}};
  local_.add_to(groups, augment, image_size);
  return groups;
}

void SelfDistillation::build_heads(Random& random) {
  student_head_ = DinoHead(encoder_->features(), head_, random);
  teacher_encoder_ = new_encoder(random);
  teacher_head_ = DinoHead(encoder_->features(), head_, random);
  student_ = Group({{"encoder", encoder_.get()}, {"head", &student_head_}});
  teacher_ = Group({{"encoder", teacher_encoder_.get()}, {"head", &teacher_head_}});
  copy_parts(student_, teacher_);
  centre_ = Tensor::zeros({head_.out});
}

void SelfDistillation::plan(Plan& p) {
  p.teacher(teacher_, student_, Schedule::cosine(momentum_, momentum_end_, p.total_steps));
  const double begin = warm_epochs_ > 0 ? warm_temperature_ : teacher_temperature_end_;
  p.schedule(teacher_temperature_, Schedule::linear(begin, teacher_temperature_end_, p.steps_of(warm_epochs_)));
}

PartFactors SelfDistillation::factors(const std::string& part, const Plan& p) const {
  return {.frozen_steps = part == "student.head.last_layer.weight" ? p.steps_of(freeze_epochs_) : 0};
}

SoftCrossEntropyOptions SelfDistillation::targets(const Tensor& centre) const {
  return {.temperature = student_temperature_, .target_temperature = teacher_temperature_.now(), .centre = centre};
}

void SelfDistillation::move(Tensor& centre, const Tensor& logits) const {
  if (centred_) update_centre(centre, logits);
}

std::vector<CollapseSign> SelfDistillation::collapse_signs() const {
  const double most = std::log(static_cast<double>(head_.out));
  return usual_signs_and(
      {{"teacher_entropy", CollapseSign::Side::above, 0.99 * most, "the teacher gives all images all prototypes alike",
        sharpen},
       {"kl", CollapseSign::Side::below, 0.01,
        "the student has nothing to learn, what the teacher gives being the same for all crops"},
       {"teacher_entropy", CollapseSign::Side::below, 0.01 * most, "one prototype takes all images"}});
}

std::string SelfDistillation::collapse_cure() const {
  return centred_ ? "try a lower --teacher-temperature-end, a lower --lr or a longer --freeze-last-epochs"
                  : name() + " needs its centre: run without --no-centre";
}

void SelfDistillation::visit(Visitor& v) {
  v("student", student_);
  v.state("teacher", teacher_);
  v.state("centre", centre_);
}

}  // namespace gestalt
