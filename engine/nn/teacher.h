// Teacher: weights that follow a student's as an exponential moving average, in one flat buffer.
#pragma once

#include <vector>

#include "engine/nn/arena.h"

namespace gestalt {

// Neighbouring elements of a teacher, and those of its student that they follow.
struct FollowingRun {
  Tensor teacher, shadows, student;  // (elements), shadows undefined for f32
};

// The teacher of BYOL, MoCo or DINO: a module each of whose trained parts follows the part of the same name of a
// student. Parts lie in the teacher's buffer as the student's do in the arena, so that an update is one launch for each
// run of parts that are neighbours there: one in all, as a rule.
class Teacher {
 public:
  // Moves the trained parts of `teacher`, with the values they have, into a buffer on the arena's device, with bf16
  // shadows if the arena has them; they stop collecting gradients. Names are relative to the two modules, and the order
  // in which either is visited does not matter. With `buffers`, states of floating point (running statistics) are
  // averaged too, and the student's come to lie in one buffer as well; else they stay the teacher's own. Attach again
  // after a checkpoint was loaded or anything but update() wrote the teacher. Throws Error naming a part that the
  // student lacks, that has another shape there or that does not lie in `arena`.
  void attach(Module& teacher, Module& student, const ParameterArena& arena, bool buffers = false);

  // teacher ← m·teacher + (1 − m)·student (Grill et al. 2020, equation 1), shadows included.
  void update(kernels::Varying<double> momentum);

 private:
  std::vector<FollowingRun> runs_;
};

}  // namespace gestalt
