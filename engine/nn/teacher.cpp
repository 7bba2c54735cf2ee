// Teachers that follow their student.
#include "engine/nn/teacher.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace gestalt {
namespace {

// A part of the teacher, and the student's that it follows.
struct Pair {
  std::string name;
  Tensor teacher, student;
};

bool integral(const Tensor& t) { return t.dtype() == DType::u8 || t.dtype() == DType::i32; }

// The parts that follow: those that are trained, or the states that an average makes sense of.
std::vector<Pair> pairs_of(Module& teacher, Module& student, bool trained) {
  std::unordered_map<std::string, Tensor> of_student;
  for (const NamedPart& p : parts(student)) of_student.emplace(p.name, p.tensor);
  std::vector<Pair> pairs;
  for (const NamedPart& p : parts(teacher)) {
    if (p.trained != trained || (!trained && integral(p.tensor))) continue;
    const auto found = of_student.find(p.name);
    check(found != of_student.end(), "[teacher] got part {}, which the student lacks", p.name);
    const Tensor& followed = found->second;
    check(followed.shape() == p.tensor.shape() && followed.dtype() == DType::f32 && p.tensor.dtype() == DType::f32,
          "[teacher] got part {} of {} {}, the student's is {} {}; expected f32 and the same shape", p.name,
          name(p.tensor.dtype()), p.tensor.shape().text(), name(followed.dtype()), followed.shape().text());
    pairs.push_back({p.name, p.tensor, found->second});
  }
  return pairs;
}

// Elements that a part takes of a buffer: with what aligns the next one, as in the arena.
int64_t room(const Tensor& part) { return aligned_count(part.count()); }
int64_t first_element(const Tensor& part) { return part.impl()->offset / size_of(part.dtype()); }

// The `count` elements that begin where `part` does, of the same storage.
Tensor elements_from(const Tensor& part, int64_t count) {
  auto impl = std::make_shared<Tensor::Impl>();
  impl->storage = part.impl()->storage;
  impl->offset = part.impl()->offset;
  impl->shape = {count};
  impl->dtype = part.dtype();
  return Tensor(std::move(impl));
}

// Moves `part`, with its value, to `buffer` from element `begin` on.
void move_into(Tensor& buffer, int64_t begin, Tensor& part) {
  Tensor slot = buffer.slice(begin, begin + part.count()).reshape(part.shape());
  slot.copy_from(part);
  part.rebind(slot);
}

// Moves states of the student that lie alone into one buffer; those in one already stay, where others know them.
void gather_states(std::vector<Pair>& pairs, Device device) {
  const auto alone = [](const Tensor& t) { return t.impl()->storage.use_count() == 1; };
  int64_t size = 0, begin = 0;
  for (const Pair& p : pairs) size += alone(p.student) ? room(p.student) : 0;
  if (size == 0) return;
  Tensor buffer = Tensor::zeros({size}, DType::f32, device);
  for (Pair& p : pairs) {
    if (!alone(p.student)) continue;
    move_into(buffer, begin, p.student);
    begin += room(p.student);
  }
}

// Moves the teacher's parts into a buffer in the order in which the student's lie, and adds its runs to `runs`.
void follow(std::vector<Pair>& pairs, Device device, bool shadowed, std::vector<FollowingRun>& runs) {
  const auto place = [](const Pair& p) {
    return std::tuple(p.student.impl()->storage.get(), p.student.impl()->offset);
  };
  std::sort(pairs.begin(), pairs.end(), [&](const Pair& a, const Pair& b) { return place(a) < place(b); });
  const auto neighbours = [](const Pair& a, const Pair& b) {
    return a.student.same_storage(b.student) && first_element(b.student) == first_element(a.student) + room(a.student);
  };
  int64_t size = 0, begin = 0;
  for (const Pair& p : pairs) size += room(p.teacher);
  if (size == 0) return;
  Tensor weights = Tensor::zeros({size}, DType::f32, device);
  Tensor shadows = shadowed ? Tensor::zeros({size}, DType::bf16, device) : Tensor();
  for (size_t i = 0; i < pairs.size();) {
    const Pair& first = pairs[i];
    const int64_t run = begin;
    int64_t end = begin;  // of the last part, without what aligns the next
    do {
      Tensor& part = pairs[i].teacher;
      move_into(weights, begin, part);
      part.set_shadow(shadows ? shadows.slice(begin, begin + part.count()).reshape(part.shape()) : Tensor());
      end = begin + part.count();
      begin += room(part);
      ++i;
    } while (i < pairs.size() && neighbours(pairs[i - 1], pairs[i]));
    runs.push_back({weights.slice(run, end), shadows ? shadows.slice(run, end) : Tensor(),
                    elements_from(first.student, end - run)});
  }
  if (shadows) shadows.copy_from(weights);
}

}  // namespace

void Teacher::attach(Module& teacher, Module& student, const ParameterArena& arena, bool buffers) {
  const Device device = arena.weights.device();
  std::vector<Pair> trained = pairs_of(teacher, student, true);
  check(!trained.empty(), "[teacher] got a module without trained parts");
  for (const Pair& p : trained)
    check(p.student.same_storage(arena.weights), "[teacher] got part {}, which the arena does not hold", p.name);
  std::vector<Pair> states = buffers ? pairs_of(teacher, student, false) : std::vector<Pair>();
  for (NamedPart& p : parts(teacher))
    if (p.tensor.device() != device) p.tensor.rebind(p.tensor.to(device));
  gather_states(states, device);
  runs_.clear();
  follow(trained, device, bool(arena.shadows), runs_);
  for (Pair& p : trained) p.teacher.require_grad(false);
  follow(states, device, false, runs_);
}

void Teacher::update(kernels::Varying<double> momentum) {
  check(!runs_.empty(), "[teacher] got an update before it was attached to a student; call attach first");
  check(momentum.place || (momentum.value >= 0 && momentum.value <= 1), "[teacher] got momentum {}, expected 0 to 1",
        momentum.value);
  for (FollowingRun& run : runs_)
    kernels::launch(
        kernels::EmaStep{run.teacher.out(), run.shadows.out(), run.student.in(), momentum, run.teacher.count()},
        run.teacher.stream());
}

}  // namespace gestalt
