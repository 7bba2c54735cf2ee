// EmaTeacher: weights that follow a student's as an exponential moving average, in one flat buffer.
#pragma once

#include "engine/nn/arena.h"
#include "engine/tensor/step_number.h"

namespace gestalt {

// The teacher of BYOL, MoCo or DINO: a module whose trained parts are the first ones of its student's arena, name by
// name. They lie in one buffer with the arena's layout, so that an update is one pass over contiguous memory.
class EmaTeacher {
 public:
  // Moves the trained parts of `teacher`, with the values they have, into a buffer laid out as the beginning of
  // `student`, with bf16 shadows if the student has them; they stop collecting gradients. Call it again after anything
  // but update() wrote them, a checkpoint say. Throws Error unless names and sizes are those of the student's first
  // parts.
  void attach(Module& teacher, const ParameterArena& student);

  // teacher ← τ·teacher + (1−τ)·student (Grill et al. 2020, equation 1), shadows included. States such as running
  // statistics are the teacher's own and stay as they are.
  void update(const ParameterArena& student, double tau);
  // Its two halves: what the host decides, and the work on the device, the same at each step.
  void set_rate(double tau);
  void update(const ParameterArena& student);

 private:
  Tensor weights_, shadows_;  // (size); the latter undefined for f32
  StepNumber<double> tau_;
};

// τ at `step` of `total`: from `base` to `end` along half a cosine (Grill et al. 2020, section 3.2, where end is 1).
double ema_rate(double base, double end, int64_t step, int64_t total);

}  // namespace gestalt
