// Fields as JSON: the run record, config.json and checkpoint headers. Texts may be any bytes, as names of files are:
// see utf8_from_bytes().
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/run/fields.h"
#include "engine/run/json.h"

namespace gestalt {

// Writes each visited field into `object`, in visiting order. A number that is not finite is an error: JSON has none. A
// text that is no UTF-8, as a file's name may be, becomes {"bytes": "hexadecimal"}.
class JsonWriter : public Fields {
 public:
  void operator()(const char* name, bool& value, const char* help) override;
  void operator()(const char* name, int64_t& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, double& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, std::string& value, const char* help,
                  const std::vector<std::string>& choices) override;

  Json object = Json::object();

 private:
  void put(const char* name, Json value);
};

// Sets each visited field from `object`; a field that is absent keeps its value. Throws Error, naming `source` and the
// key, for a value of another type. Visit every options struct the object describes, then call finish().
class JsonReader : public Fields {
 public:
  JsonReader(std::string source, Json object);

  void operator()(const char* name, bool& value, const char* help) override;
  void operator()(const char* name, int64_t& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, double& value, const char* help, const Bounds& bounds) override;
  void operator()(const char* name, std::string& value, const char* help,
                  const std::vector<std::string>& choices) override;

  // Throws Error for a key that no visited struct has, with the nearest name.
  void finish() const;

 private:
  const Json* find(const char* name);
  void check_bounds(const char* name, double value, const Bounds& bounds) const;

  std::string source_;
  Json object_;
  std::vector<std::string> known_;
};

// What JsonWriter made of a text, as the text; nothing for anything else.
std::optional<std::string> text_of_json(const Json& json);

}  // namespace gestalt
