// Noting what a method wants to change along a run.
#include "tasks/training/plan.h"

#include <cmath>

namespace gestalt {

int64_t Plan::steps_of(double epochs) const { return std::llround(epochs * static_cast<double>(steps_per_epoch)); }

void Plan::schedule(Scheduled& number, const Schedule& schedule) {
  number.schedule = schedule;
  numbers_.push_back(&number);
}

void Plan::teacher(Module& teacher, Module& student, const Schedule& momentum, bool buffers) {
  Following& following = teachers_.emplace_back();
  following.teacher = &teacher;
  following.student = &student;
  following.buffers = buffers;
  following.momentum.schedule = momentum;
}

}  // namespace gestalt
