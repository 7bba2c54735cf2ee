// Module: parts with names. Optimizer, checkpoint, EMA, counting and export all walk the same `visit`.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"

namespace gestalt {

class Module;

// Walks a module's parts. `v("weight", w)` names a trained tensor, `v.state("running_mean", m)` one that is saved and
// never optimised; both also take modules. Paths are joined with dots, as PyTorch's are.
class Visitor {
 public:
  virtual ~Visitor() = default;
  void operator()(const std::string& name, Tensor& tensor);
  void operator()(const std::string& name, Module& module);
  template <class M>
  void operator()(const std::string& name, std::vector<M>& modules) {
    for (size_t i = 0; i < modules.size(); ++i) (*this)(name + "." + std::to_string(i), modules[i]);
  }
  void state(const std::string& name, Tensor& tensor);
  void state(const std::string& name, Module& module);

 protected:
  virtual void part(const std::string& path, Tensor& tensor, bool trained) = 0;

 private:
  std::string prefix_;
  bool frozen_ = false;  // below a module that was visited as state
};

class Module {
 public:
  virtual ~Module() = default;
  virtual void visit(Visitor& v) = 0;
};

// Modules that somebody else owns, under names of one's own: what a teacher follows, say.
class Group : public Module {
 public:
  Group() = default;
  explicit Group(std::vector<std::pair<std::string, Module*>> modules) : modules_(std::move(modules)) {}
  void visit(Visitor& v) override {
    for (auto& [name, module] : modules_) v(name, *module);
  }

 private:
  std::vector<std::pair<std::string, Module*>> modules_;
};

struct NamedPart {
  std::string name;
  Tensor tensor;
  bool trained;
};

// Every part that has a value, in visiting order.
std::vector<NamedPart> parts(Module& module);
int64_t parameter_count(Module& module);  // of trained tensors

// Makes `to`'s parts equal to `from`'s of the same names; throws if a name or shape differs.
void copy_parts(Module& from, Module& to);

// Replaces each part by its copy on `device`.
void move_to(Module& module, Device device);

}  // namespace gestalt
