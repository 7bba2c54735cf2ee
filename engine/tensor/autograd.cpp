// Recording ops and walking them backwards.
#include "engine/tensor/autograd.h"

#include <cmath>
#include <queue>

#include "kernels/elementwise.h"

namespace gestalt {
namespace {

thread_local bool grad_enabled = true;
thread_local uint64_t next_order = 0;
thread_local double expected_seed = 1;
bool finite_check = false;

void check_finite(const char* op, const char* pass, const Tensor& t) {
  if (!t || t.dtype() == DType::i32 || t.dtype() == DType::u8) return;
  // Small enough a scale that the f32 sum of finite numbers is finite.
  Tensor total = Tensor::empty({1}, accumulator_of(t.dtype()), t.device());
  kernels::launch(kernels::Sum{t.in(), total.out(), 1e-30, t.count()}, t.stream());
  check(std::isfinite(total.item()), "[{}{}] gave the first NaN or infinity, in a tensor of shape {}", op, pass,
        t.shape().text());
}

// sum += addend, into sum's own memory if nobody else sees it.
void accumulate(Tensor& sum, const Tensor& addend) {
  if (!sum) {
    sum = addend;
    return;
  }
  Tensor target = sum.sole_owner() ? sum : Tensor::empty(sum.shape(), sum.dtype(), sum.device());
  kernels::launch(
      kernels::Combine{
          .a = sum.in(), .b = addend.in(), .y = target.out(), .a_scale = 1, .b_scale = 1, .count = sum.count()},
      sum.stream());
  sum = target;
}

// Adds into a leaf's gradient, in place: it may be a slice of an arena that others see on purpose.
void accumulate_leaf(Tensor::Impl& leaf, const Tensor& grad) {
  if (!leaf.grad) {
    leaf.grad = grad.sole_owner() ? grad : grad.clone();
    return;
  }
  if (leaf.grad.impl() == grad.impl()) return;  // written there by the op
  leaf.grad.impl()->untouched = false;
  kernels::launch(
      kernels::Combine{
          .a = leaf.grad.in(), .b = grad.in(), .y = leaf.grad.out(), .a_scale = 1, .b_scale = 1, .count = grad.count()},
      grad.stream());
}

struct Later {
  bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const { return a->order < b->order; }
};

void check_gradient(const Node& node, size_t i, const Tensor& grad) {
  const Tensor& input = node.inputs[i];
  check(grad.shape() == input.shape() && grad.dtype() == input.dtype(),
        "[{} backward] got a gradient {} {} for input {}, expected {} {}", node.op, name(grad.dtype()),
        grad.shape().text(), i, name(input.dtype()), input.shape().text());
}

}  // namespace

bool recording(std::initializer_list<Tensor> inputs) {
  if (!grad_enabled) return false;
  for (const Tensor& t : inputs)
    if (t.requires_grad()) return true;
  return false;
}

Tensor gradient_memory(const Tensor& input) {
  const Tensor::Impl& leaf = *input.impl();
  if (leaf.node || !leaf.requires_grad || !leaf.grad || !leaf.grad.impl()->untouched)
    return Tensor::empty(input.shape(), input.dtype(), input.device());
  leaf.grad.impl()->untouched = false;
  return leaf.grad;
}

std::vector<Tensor> record(const char* op, std::vector<Tensor> outputs, std::vector<Tensor> inputs,
                           std::function<Grads(const Grads&)> backward) {
  if (finite_check)
    for (const Tensor& y : outputs) check_finite(op, "", y);
  bool needed = false;
  for (const Tensor& t : inputs) needed = needed || t.requires_grad();
  if (!grad_enabled || !needed) return outputs;
  auto node = std::make_shared<Node>();
  node->op = op;
  node->inputs = std::move(inputs);
  node->backward = std::move(backward);
  node->pending.resize(outputs.size());
  node->order = next_order++;
  for (size_t i = 0; i < outputs.size(); ++i) {
    node->output_shapes.push_back(outputs[i].shape());
    node->output_dtypes.push_back(outputs[i].dtype());
    outputs[i].impl()->node = node;
    outputs[i].impl()->output_index = static_cast<int>(i);
  }
  return outputs;
}

Tensor record(const char* op, Tensor y, std::vector<Tensor> inputs, std::function<Grads(const Tensor&)> backward) {
  return record(op, std::vector<Tensor>{std::move(y)}, std::move(inputs),
                [backward = std::move(backward)](const Grads& dys) { return backward(dys[0]); })[0];
}

void set_finite_check(bool on) { finite_check = on; }

ExpectedSeed::ExpectedSeed(double seed) : before_(expected_seed) {
  check(seed != 0, "[autograd] got an expected seed of 0, expected another number");
  expected_seed = seed;
}
ExpectedSeed::~ExpectedSeed() { expected_seed = before_; }
double ExpectedSeed::value() { return expected_seed; }

NoGrad::NoGrad() : before_(grad_enabled) { grad_enabled = false; }
NoGrad::~NoGrad() { grad_enabled = before_; }

void Tensor::backward() const {
  check(count() == 1, "[backward] got shape {}, expected a scalar loss; give a seed gradient otherwise",
        shape().text());
  backward(Tensor::full(shape(), 1, dtype(), device()));
}

void Tensor::backward(const Tensor& seed) const {
  check(requires_grad(), "[backward] nothing that led to this tensor requires a gradient");
  check(seed.shape() == shape() && seed.dtype() == dtype(), "[backward] got a seed {} {}, expected {} {}",
        name(seed.dtype()), seed.shape().text(), name(dtype()), shape().text());
  NoGrad no_grad;
  if (!impl_->node) {
    accumulate_leaf(*impl_, seed);
    return;
  }
  // Nodes are visited newest first; a node enters the queue when its first gradient arrives.
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, Later> queue;
  impl_->node->pending[impl_->output_index] = seed;
  queue.push(impl_->node);
  while (!queue.empty()) {
    const std::shared_ptr<Node> node = queue.top();
    queue.pop();
    check(node->backward != nullptr, "[{} backward] was already walked; run forward again", node->op);
    Grads grads = node->backward(node->pending);
    check(grads.size() == node->inputs.size(), "[{} backward] got {} gradients, expected {}", node->op, grads.size(),
          node->inputs.size());
    if (finite_check)
      for (const Tensor& g : grads) check_finite(node->op, " backward", g);
    node->backward = nullptr;  // frees what the closure saved
    node->pending.assign(node->pending.size(), Tensor());
    for (size_t i = 0; i < grads.size(); ++i) {
      Tensor::Impl* input = node->inputs[i].impl().get();
      if (!grads[i] || !node->inputs[i].requires_grad()) continue;
      check_gradient(*node, i, grads[i]);
      if (!input->node) {
        accumulate_leaf(*input, grads[i]);
      } else {
        Node& producer = *input->node;
        bool first = true;
        for (const Tensor& p : producer.pending) first = first && !p;
        accumulate(producer.pending[input->output_index], grads[i]);
        if (first) queue.push(input->node);
      }
      grads[i] = Tensor();
    }
    node->inputs.clear();
  }
}

}  // namespace gestalt
