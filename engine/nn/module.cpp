// Walking the named parts of modules.
#include "engine/nn/module.h"

namespace gestalt {
namespace {

class Each : public Visitor {
 public:
  explicit Each(std::function<void(const std::string&, Tensor&, bool)> f) : f_(std::move(f)) {}

 protected:
  void part(const std::string& path, Tensor& tensor, bool trained) override {
    if (tensor) f_(path, tensor, trained);
  }

 private:
  std::function<void(const std::string&, Tensor&, bool)> f_;
};

void for_each(Module& module, std::function<void(const std::string&, Tensor&, bool)> f) {
  Each each(std::move(f));
  module.visit(each);
}

}  // namespace

void Visitor::operator()(const std::string& name, Tensor& tensor) { part(prefix_ + name, tensor, !frozen_); }
void Visitor::state(const std::string& name, Tensor& tensor) { part(prefix_ + name, tensor, false); }

void Visitor::operator()(const std::string& name, Module& module) {
  const std::string before = prefix_;
  prefix_ += name + ".";
  module.visit(*this);
  prefix_ = before;
}

void Visitor::state(const std::string& name, Module& module) {
  const bool before = frozen_;
  frozen_ = true;
  (*this)(name, module);
  frozen_ = before;
}

std::vector<NamedPart> parts(Module& module) {
  std::vector<NamedPart> all;
  for_each(module, [&](const std::string& path, Tensor& t, bool trained) { all.push_back({path, t, trained}); });
  return all;
}

int64_t parameter_count(Module& module) {
  int64_t count = 0;
  for (const NamedPart& p : parts(module))
    if (p.trained) count += p.tensor.count();
  return count;
}

void copy_parts(Module& from, Module& to) {
  const std::vector<NamedPart> a = parts(from);
  std::vector<NamedPart> b = parts(to);
  check(a.size() == b.size(), "[copy_parts] got {} parts for {}", a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    check(a[i].name == b[i].name, "[copy_parts] got part {}, expected {}", a[i].name, b[i].name);
    b[i].tensor.copy_from(a[i].tensor);
  }
}

void move_to(Module& module, Device device) {
  for_each(module, [&](const std::string&, Tensor& t, bool) {
    const bool grad = t.requires_grad();
    t = t.detach().to(device);
    if (grad) t.require_grad();
  });
}

}  // namespace gestalt
