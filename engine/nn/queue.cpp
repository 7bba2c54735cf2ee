// The ring and what may be its length.
#include "engine/nn/queue.h"

#include <algorithm>

#include "engine/ops/rows.h"
#include "engine/tensor/autograd.h"
#include "kernels/queue.h"

namespace gestalt {

Queue::Queue(int64_t length, int64_t dim, Random& random) {
  const NoGrad off;
  check(length >= 1 && dim >= 1, "[queue] got length {} and width {}, expected 1 or more", length, dim);
  rows_ = normalize(random.normal({length, dim}, 0, 1)).detach();
  place_ = Tensor::from(std::vector<int32_t>{0, 0}, {2});
}

Queue::Queue(int64_t length, double value)
    : rows_(Tensor::full({length, 1}, value)), place_(Tensor::from(std::vector<int32_t>{0, 0}, {2})) {
  check(length >= 1, "[queue] got length {}, expected 1 or more", length);
}

void Queue::push(const Tensor& rows) {
  check(rows.rank() == 2 && rows.dim(1) == rows_.dim(1) && rows.dim(0) <= rows_.dim(0),
        "[queue] got rows {}, expected up to {} of {}", rows.shape().text(), rows_.dim(0), rows_.dim(1));
  kernels::launch(kernels::Enqueue{.rows = rows.in(),
                                   .ring = rows_.out(),
                                   .place = place_.out(),
                                   .count = rows.dim(0),
                                   .length = rows_.dim(0),
                                   .dim = rows_.dim(1)},
                  rows.stream());
}

void Queue::visit(Visitor& v) {
  v.state("rows", rows_);
  v.state("place", place_);
}

void check_queue(const char* method, int64_t length, int64_t pushed, int64_t batch, int64_t images) {
  const int64_t whole = std::max<int64_t>(1, length / pushed) * pushed;
  check(length >= pushed && length % pushed == 0,
        "[{}] got --queue {}, expected a multiple of the {} rows that a step adds; use --queue {}", method, length,
        pushed, whole);
  if (images == 0) return;
  const int64_t longest = (images - batch) / pushed * pushed;
  check(length <= images - batch,
        "[{}] got --queue {} with {} images, expected {} or fewer: a longer one holds the batch's own images as "
        "negatives; {}",
        method, length, images, images - batch,
        longest > 0 ? fmt::format("use --queue {}", longest) : std::string("use a smaller --batch"));
}

}  // namespace gestalt
