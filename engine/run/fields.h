// Hyper-parameters named once: the same `fields(Fields&)` gives flags, --help, config files, run records and headers.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace gestalt {

// What a number may be. Numbers are finite, and 0 or more unless their entry says otherwise.
struct Bounds {
  double low = 0, high = std::numeric_limits<double>::infinity();
  bool with_low = true, with_high = true;
  std::optional<double> besides = {};  // a value outside that has a meaning of its own

  bool hold(double value) const;
  std::string text() const;  // "0 or more", "above 0", "from 0 to 1", "0 or more and under 1"
};
inline Bounds at_least(double low) { return {.low = low}; }
inline Bounds above(double low) { return {.low = low, .with_low = false}; }
inline Bounds between(double low, double high) { return {.low = low, .high = high}; }
inline Bounds under(double high) { return {.high = high, .with_high = false}; }           // from 0
inline Bounds above_up_to(double low, double high) { return {low, high, false}; }         // (low, high]
inline Bounds any_number() { return {.low = -std::numeric_limits<double>::infinity()}; }  // that is finite

// Visits the fields of an options struct, which has `void fields(Fields& f) { f("weight-decay", weight_decay, "…"); }`.
// Names are in kebab case and unique within one command. The value at the time of the visit is the default.
class Fields {
 public:
  virtual ~Fields() = default;
  virtual void operator()(const char* name, bool& value, const char* help) = 0;
  virtual void operator()(const char* name, int64_t& value, const char* help, const Bounds& bounds = {}) = 0;
  virtual void operator()(const char* name, double& value, const char* help, const Bounds& bounds = {}) = 0;
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
  void operator()(const char* name, int64_t&, const char*, const Bounds&) override { names.push_back(name); }
  void operator()(const char* name, double&, const char*, const Bounds&) override { names.push_back(name); }
  void operator()(const char* name, std::string&, const char*, const std::vector<std::string>&) override {
    names.push_back(name);
  }

  std::vector<std::string> names;  // in visiting order
};

// Throws Error for the first visited value that its bounds or choices do not allow: what a program sets by itself
// passes no reader.
class FieldChecker : public Fields {
 public:
  void operator()(const char*, bool&, const char*) override {}
  void operator()(const char* name, int64_t& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, double& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, std::string& value, const char* help,
                  const std::vector<std::string>& choices) override;
};

template <class Options>
void check_fields(Options&& options) {
  FieldChecker checker;
  options.fields(checker);
}

// The candidate with the fewest edits (insert, delete, replace, swap neighbours) from `name`, for "did you mean"; if
// none is near, the first that begins with it, or that it begins with ("batchsize"); empty if there is none.
std::string nearest(const std::string& name, const std::vector<std::string>& candidates);

// "; did you mean 'lr'?" for a message about the unknown `name`, or "; expected one of …" when nothing is near.
std::string suggestion(const std::string& name, const std::vector<std::string>& candidates);

// Throws Error unless `value` is one of `choices`; empty choices allow everything.
void check_choice(const std::string& name, const std::string& value, const std::vector<std::string>& choices);

}  // namespace gestalt
