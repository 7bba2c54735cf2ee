// Teachers that follow their student.
#include "engine/nn/ema.h"

#include <cmath>
#include <numbers>

namespace gestalt {

void EmaTeacher::attach(Module& teacher, const ParameterArena& student) {
  std::vector<NamedPart> trained;
  for (const NamedPart& p : parts(teacher))
    if (p.trained) trained.push_back(p);
  check(!trained.empty() && trained.size() <= student.layout.size(),
        "[ema] got a teacher of {} trained parts for a student of {}", trained.size(), student.layout.size());
  for (size_t i = 0; i < trained.size(); ++i) {
    const kernels::Segment& place = student.layout[i];
    check(trained[i].name == student.names[i] && trained[i].tensor.count() == place.end - place.begin,
          "[ema] part {} of the teacher is {} with {} elements, the student's is {} with {}; visit what has a teacher "
          "before what has none",
          i, trained[i].name, trained[i].tensor.count(), student.names[i], place.end - place.begin);
  }
  const int64_t size = student.layout[trained.size() - 1].end;
  const Device device = student.weights.device();
  Tensor weights = Tensor::zeros({size}, DType::f32, device);
  Tensor shadows = student.shadows ? Tensor::zeros({size}, student.shadows.dtype(), device) : Tensor();
  for (size_t i = 0; i < trained.size(); ++i) {
    Tensor& t = trained[i].tensor;
    const auto slot = [&](const Tensor& buffer) {
      return buffer.slice(student.layout[i].begin, student.layout[i].end).reshape(t.shape());
    };
    slot(weights).copy_from(t);
    t.rebind(slot(weights));
    t.require_grad(false);
    if (shadows) t.set_shadow(slot(shadows));
  }
  if (shadows) shadows.copy_from(weights);
  weights_ = weights;
  shadows_ = shadows;
}

void EmaTeacher::set_rate(double tau) {
  check(bool(weights_), "[ema] got a rate for a teacher that is not attached to a student; call Task::prepare first");
  check(tau >= 0 && tau <= 1, "[ema] got τ = {}, expected 0 to 1", tau);
  tau_.set(tau, weights_.device());
}

void EmaTeacher::update(const ParameterArena& student, double tau) {
  set_rate(tau);
  update(student);
}

void EmaTeacher::update(const ParameterArena& student) {
  check(weights_.count() <= student.size(),
        "[ema] got an update of a teacher that is not attached to this student; call Task::prepare first");
  kernels::launch(kernels::EmaStep{weights_.out(), shadows_.out(), student.weights.in(), tau_.get(), weights_.count()},
                  weights_.stream());
}

double ema_rate(double base, double end, int64_t step, int64_t total) {
  const double t = static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, total));
  return end - (end - base) * 0.5 * (std::cos(std::numbers::pi * t) + 1);
}

}  // namespace gestalt
