// Queue: the last rows that a network gave, as negatives or neighbours of those that it gives now.
#pragma once

#include "engine/nn/module.h"
#include "engine/tensor/random.h"

namespace gestalt {

// A ring of rows, unit length at random until the first came in (He et al. 2020, algorithm 1). Rows, place and count
// are states: a checkpoint holds them, and a captured step moves them.
class Queue : public Module {
 public:
  Queue() = default;
  Queue(int64_t length, int64_t dim, Random& random);
  Queue(int64_t length, double value);  // of numbers, (length, 1), that go along with another's rows: `value` at first

  // Writes (N, D) over the oldest; call it after the queue was used, or a row meets itself. Throws Error for more rows
  // than the queue has, and for rows of another width.
  void push(const Tensor& rows);
  const Tensor& rows() const { return rows_; }    // (length, D) f32
  const Tensor& place() const { return place_; }  // (2) i32: the next to be overwritten, and how many came in
  void visit(Visitor& v) override;

 private:
  Tensor rows_, place_;
};

// Throws Error, with the cure, unless a queue of `length` is a multiple of the `pushed` rows of a step and so short
// that it holds no row of the step's own images from the epoch before: no longer than `images` less the batch.
// Of 0 images nothing is known.
void check_queue(const char* method, int64_t length, int64_t pushed, int64_t batch, int64_t images);

}  // namespace gestalt
