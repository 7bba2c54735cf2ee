// Fields as lines `name = value`: config files, recipes, benchmark cases and tests are written so.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/run/fields.h"

namespace gestalt {

// A value as text, and where it stands: "runs.conf:3" or "--lr".
struct GivenValue {
  std::string text, place;
};
using GivenValues = std::map<std::string, GivenValue>;

// Reads lines `name = value`, or one JSON object such as a run's config.json. A `#` at the beginning of a line or after
// a blank begins a comment; a value may stand in quotes. Throws Error, naming `source` and the line, for a line that is
// neither and a name that stands twice.
GivenValues parse_values(const std::string& source, std::string_view text);

// The same without its line `method = NAME`, as recipes and a run's config.json have one. Throws Error unless it names
// `method`.
GivenValues values_for(const std::string& method, const std::string& source, std::string_view text);

// "" where `text` is a value of that kind within the bounds, else what is wrong with it. Numbers are decimal, whole and
// finite.
std::string problem_with(const std::string& text, bool);
std::string problem_with(const std::string& text, int64_t, const Bounds& bounds = any_number());
std::string problem_with(const std::string& text, double, const Bounds& bounds = any_number());

// Sets each visited field that find() has a value for; the others keep theirs. Visit every struct, then call finish().
class FieldSetter : public Fields {
 public:
  void operator()(const char* name, bool& value, const char* help) override;
  void operator()(const char* name, int64_t& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, double& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, std::string& value, const char* help,
                  const std::vector<std::string>& choices) override;

 protected:
  virtual const GivenValue* find(const char* name) = 0;

 private:
  template <class T>
  void set(const char* name, T& value, const Bounds& bounds);
};

class TextReader : public FieldSetter {
 public:
  explicit TextReader(GivenValues values) : values_(std::move(values)) {}
  TextReader(const std::string& source, std::string_view text) : TextReader(parse_values(source, text)) {}

  // Throws Error for a name that no visited struct has, with the nearest one.
  void finish() const;

 protected:
  const GivenValue* find(const char* name) override;

 private:
  GivenValues values_;
  std::vector<std::string> known_;
};

}  // namespace gestalt
