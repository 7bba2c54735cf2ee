// Hyper-parameters named once: the same `fields(Fields&)` gives flags, --help, config files, run records and headers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gestalt {

// Visits the fields of an options struct, which has `void fields(Fields& f) { f("weight-decay", weight_decay, "…"); }`.
// Names are in kebab case and unique within one command. The value at the time of the visit is the default.
class Fields {
 public:
  virtual ~Fields() = default;
  virtual void operator()(const char* name, bool& value, const char* help) = 0;
  virtual void operator()(const char* name, int64_t& value, const char* help) = 0;
  virtual void operator()(const char* name, double& value, const char* help) = 0;
  // With `choices`, the value is one of them.
  virtual void operator()(const char* name, std::string& value, const char* help,
                          const std::vector<std::string>& choices = {}) = 0;
  // Heads the fields that follow in --help.
  virtual void title(const char*) {}
};

// Collects the names of the fields it visits.
class FieldNames : public Fields {
 public:
  void operator()(const char* name, bool&, const char*) override { names.push_back(name); }
  void operator()(const char* name, int64_t&, const char*) override { names.push_back(name); }
  void operator()(const char* name, double&, const char*) override { names.push_back(name); }
  void operator()(const char* name, std::string&, const char*, const std::vector<std::string>&) override {
    names.push_back(name);
  }

  std::vector<std::string> names;  // in visiting order
};

// The candidate with the fewest edits (insert, delete, replace, swap neighbours) from `name`, for "did you mean"; if
// none is near, the first that begins with it; empty if there is neither.
std::string nearest(const std::string& name, const std::vector<std::string>& candidates);

// "; did you mean 'lr'?" for a message about the unknown `name`, or "; expected one of …" when nothing is near.
std::string suggestion(const std::string& name, const std::vector<std::string>& candidates);

// Throws Error unless `value` is one of `choices`; empty choices allow everything.
void check_choice(const std::string& name, const std::string& value, const std::vector<std::string>& choices);

}  // namespace gestalt
