// Plan: how long a run is, and what changes along it.
#pragma once

#include <functional>
#include <vector>

#include "engine/nn/schedule.h"
#include "engine/nn/teacher.h"

namespace gestalt {

class Plan {
 public:
  int64_t steps_per_epoch = 1, total_steps = 1;

  int64_t steps_of(double epochs) const;

  // `number` follows `schedule`: kernels find its value of the step at hand in number.now().
  void schedule(Scheduled& number, const Schedule& schedule);
  // After each update of all networks, `teacher` moves towards `student`, each part towards the one of the same name,
  // by a momentum that follows a schedule. With `buffers`, running statistics are averaged as well.
  void teacher(Module& teacher, Module& student, const Schedule& momentum, bool buffers = false);

 private:
  friend class Training;
  struct Following {
    Module *teacher, *student;
    bool buffers;
    Scheduled momentum;
    Teacher weights;
  };
  std::vector<Scheduled*> numbers_;
  std::vector<Following> teachers_;
};

}  // namespace gestalt
