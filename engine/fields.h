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
};

// The candidate with the fewest edits from `name`, for "did you mean"; empty if none is near.
std::string nearest(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace gestalt
