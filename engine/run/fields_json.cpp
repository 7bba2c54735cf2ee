// Fields as JSON: writing, and reading with every key accounted for.
#include "engine/run/fields_json.h"

#include <cmath>
#include <limits>
#include <set>

#include "engine/run/utf8.h"
#include "kernels/check.h"

namespace gestalt {

std::optional<std::string> text_of_json(const Json& json) {
  if (!json.is_string()) return {};
  return bytes_from_utf8(json.text());
}

void JsonWriter::put(const char* name, Json value) {
  check(!object.contains(name), "[config] two fields are named '{}'", name);
  object[name] = std::move(value);
}

void JsonWriter::operator()(const char* name, bool& value, const char*) { put(name, value); }
void JsonWriter::operator()(const char* name, int64_t& value, const char*, const Bounds&) { put(name, value); }
void JsonWriter::operator()(const char* name, double& value, const char*, const Bounds&) {
  check(std::isfinite(value), "[config] got {} {}, expected a finite number", name, value);
  put(name, value);
}
void JsonWriter::operator()(const char* name, std::string& value, const char*, const std::vector<std::string>&) {
  put(name, utf8_from_bytes(value));
}

JsonReader::JsonReader(std::string source, Json object) : source_(std::move(source)), object_(std::move(object)) {
  check(object_.is_object(), "[config] {}: got {}, expected an object of names and values", source_,
        object_.type_name());
}

const Json* JsonReader::find(const char* name) {
  known_.push_back(name);
  return object_.find(name);
}

void JsonReader::check_bounds(const char* name, double value, const Bounds& bounds) const {
  check(bounds.hold(value), "[config] {}: got '{}' {}, expected {}", source_, name, value, bounds.text());
}

void JsonReader::operator()(const char* name, bool& value, const char*) {
  const Json* json = find(name);
  if (!json) return;
  check(json->is_boolean(), "[config] {}: got '{}' {}, expected true or false", source_, name, json->dump());
  value = json->get<bool>();
}

void JsonReader::operator()(const char* name, int64_t& value, const char*, const Bounds& bounds) {
  const Json* json = find(name);
  if (!json) return;
  const bool fits = !json->is_number_unsigned() ||
                    json->get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  check(json->is_number_integer() && fits, "[config] {}: got '{}' {}, expected a whole number", source_, name,
        json->dump());
  value = json->get<int64_t>();
  check_bounds(name, static_cast<double>(value), bounds);
}

void JsonReader::operator()(const char* name, double& value, const char*, const Bounds& bounds) {
  const Json* json = find(name);
  if (!json) return;
  check(json->is_number(), "[config] {}: got '{}' {}, expected a number", source_, name, json->dump());
  value = json->get<double>();
  check_bounds(name, value, bounds);
}

void JsonReader::operator()(const char* name, std::string& value, const char*,
                            const std::vector<std::string>& choices) {
  const Json* json = find(name);
  if (!json) return;
  const std::optional<std::string> text = text_of_json(*json);
  check(text.has_value(), "[config] {}: got '{}' {}, expected a text", source_, name, json->dump());
  value = *text;
  check_choice(fmt::format("{} ({})", name, source_), value, choices);
}

void JsonReader::finish() const {
  const std::set<std::string> known(known_.begin(), known_.end());
  for (const auto& [key, value] : object_.items())
    check(known.contains(key), "[config] {}: unknown key '{}'{}", source_, key, suggestion(key, known_));
}

}  // namespace gestalt
