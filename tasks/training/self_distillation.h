// SelfDistillation: what methods share whose student gives crops of an image the distribution over prototypes that its
// own moving average gives large ones (Caron et al. 2021, "Emerging properties in self-supervised vision
// transformers").
#pragma once

#include "engine/data/images/views.h"
#include "engine/ops/soft_cross_entropy.h"
#include "models/heads.h"
#include "tasks/training/image_method.h"

namespace gestalt {

// The teacher is the student's moving average, parameters only, and passes batch norm by the statistics of its batch.
// Its logits are centred against one prototype winning everything, and sharpened against all being alike.
class SelfDistillation : public ImageMethod {
 public:
  std::vector<ViewGroup> views() const override;  // two large views, then small ones
  void plan(Plan& p) override;
  PartFactors factors(const std::string& part, const Plan& p) const override;
  std::vector<CollapseSign> collapse_signs() const override;
  std::string collapse_cure() const override;
  Encoder& encoder() override { return *teacher_encoder_; }
  void visit(Visitor& v) override;

 protected:
  static constexpr const char* sharpen =
      "try a lower --teacher-temperature and --teacher-temperature-end, which sharpen";

  SelfDistillation();
  void own_fields(Fields& f) override;
  void build_heads(Random& random) override;

  // How student logits learn from the teacher's, which `centre` is taken off.
  SoftCrossEntropyOptions targets(const Tensor& centre) const;
  // Moves a centre towards the mean of the teacher's logits, unless there shall be none.
  void move(Tensor& centre, const Tensor& logits) const;

  SecondViewOptions second_{.blur = 0.1};
  LocalViewOptions local_;
  DinoHeadOptions head_;
  DinoHead student_head_, teacher_head_;
  std::unique_ptr<Encoder> teacher_encoder_;
  Tensor centre_;  // (K)

 private:
  double student_temperature_ = 0.1, warm_temperature_ = 0.04, teacher_temperature_end_ = 0.07, warm_epochs_ = 30;
  double momentum_ = 0.996, momentum_end_ = 1, freeze_epochs_ = 1;
  bool centred_ = true;
  Group student_, teacher_;
  Scheduled teacher_temperature_;
};

}  // namespace gestalt
