// Walking the tensors of a batch.
#include "engine/data/batch.h"

namespace gestalt {

void Batch::each(const std::function<void(Tensor&)>& f) {
  for (Tensor& group : views) f(group);
  for (Tensor* t : {&samples, &labels, &tokens, &targets, &waves, &frames})
    if (*t) f(*t);
}

}  // namespace gestalt
