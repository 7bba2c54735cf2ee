// Reading `name = value` lines, and setting fields from them.
#include "engine/run/fields_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "engine/run/fields_json.h"
#include "engine/run/utf8.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

bool parse(const std::string& text, bool& value) {
  value = text == "true";
  return value || text == "false";
}

// Strict: the whole text, decimal, in range.
template <class T>
bool parse(const std::string& text, T& value) {
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && std::isfinite(static_cast<double>(value));
}

const char* kind(bool) { return "true or false"; }
const char* kind(int64_t) { return "a whole number"; }
const char* kind(double) { return "a number"; }

template <class T>
std::string problem(const std::string& text, const Bounds& bounds) {
  T value;
  if (!parse(text, value)) return fmt::format("got '{}', expected {}", text, kind(value));
  return bounds.hold(static_cast<double>(value)) ? "" : fmt::format("got '{}', expected {}", text, bounds.text());
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r";
  const size_t begin = text.find_first_not_of(blank), end = text.find_last_not_of(blank);
  return begin == std::string_view::npos ? "" : std::string(text.substr(begin, end - begin + 1));
}

// Where a comment begins: at a '#' that nothing or a blank stands before.
size_t comment_in(const std::string& text) {
  for (size_t at = text.find('#'); at != std::string::npos; at = text.find('#', at + 1))
    if (at == 0 || text[at - 1] == ' ' || text[at - 1] == '\t') return at;
  return std::string::npos;
}

// The value after '=': quoted as it stands, or up to a comment. Returns false for a broken quote and for nothing.
bool read_value(const std::string& text, std::string& value) {
  if (!text.starts_with('"') && !text.starts_with('\'')) {
    value = trimmed(text.substr(0, comment_in(text)));
    return !value.empty();
  }
  const size_t end = text.find(text[0], 1);
  if (end == std::string::npos) return false;
  value = text.substr(1, end - 1);
  const std::string rest = trimmed(text.substr(end + 1));
  return rest.empty() || rest.starts_with('#');
}

GivenValues values_of_json(const std::string& source, std::string_view text) {
  const nlohmann::ordered_json object = parse_json(source, text);
  check(object.is_object(), "[config] {}: got {}, expected an object", source, object.type_name());
  GivenValues values;
  for (const auto& [name, value] : object.items()) values[name] = {text_of_json(value).value_or(value.dump()), source};
  return values;
}

}  // namespace

GivenValues parse_values(const std::string& source, std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  check(text.find('\0') == text.npos, "[config] {} is UTF-16 or no text at all, expected UTF-8; save it as that",
        source);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') return values_of_json(source, text);
  GivenValues values;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int i = 1; std::getline(lines, line); ++i) {
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t equals = line.find('=');
    const std::string name = trimmed(line.substr(0, equals)), place = fmt::format("{}:{}", source, i);
    std::string value;
    check(equals != std::string::npos && !name.empty() && read_value(trimmed(line.substr(equals + 1)), value),
          "[config] {}: got '{}', expected a line 'name = value'", place, line);
    check(values.emplace(name, GivenValue{value, place}).second, "[config] {}: '{}' stands twice", place, name);
  }
  return values;
}

GivenValues values_for(const std::string& method, const std::string& source, std::string_view text) {
  GivenValues values = parse_values(source, text);
  for (const char* key : {"method", "task"}) {  // the latter in files of older programs
    const auto named = values.find(key);
    if (named == values.end()) continue;
    check(named->second.text == method, "[config] {} is for the method {}, not for {}", named->second.place,
          named->second.text, method);
    values.erase(named);
  }
  return values;
}

std::string problem_with(const std::string& text, bool) { return problem<bool>(text, any_number()); }
std::string problem_with(const std::string& text, int64_t, const Bounds& b) { return problem<int64_t>(text, b); }
std::string problem_with(const std::string& text, double, const Bounds& b) { return problem<double>(text, b); }

template <class T>
void FieldSetter::set(const char* name, T& value, const Bounds& bounds) {
  const GivenValue* given = find(name);
  if (!given) return;
  T parsed;
  check(parse(given->text, parsed), "[config] {}: got {} '{}', expected {}", given->place, name, given->text,
        kind(value));
  check(bounds.hold(static_cast<double>(parsed)), "[config] {}: got {} '{}', expected {}", given->place, name,
        given->text, bounds.text());
  value = parsed;
}

void FieldSetter::operator()(const char* name, bool& value, const char*) { set(name, value, any_number()); }
void FieldSetter::operator()(const char* name, int64_t& value, const char*, const Bounds& bounds) {
  set(name, value, bounds);
}
void FieldSetter::operator()(const char* name, double& value, const char*, const Bounds& bounds) {
  set(name, value, bounds);
}
void FieldSetter::operator()(const char* name, std::string& value, const char*,
                             const std::vector<std::string>& choices) {
  const GivenValue* given = find(name);
  if (!given) return;
  value = given->text;
  check_choice(fmt::format("{} ({})", name, given->place), value, choices);
}

const GivenValue* TextReader::find(const char* name) {
  known_.push_back(name);
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

void TextReader::finish() const {
  for (const auto& [name, given] : values_)
    check(std::find(known_.begin(), known_.end(), name) != known_.end(), "[config] {}: unknown name '{}'{}",
          given.place, name, suggestion(name, known_));
}

}  // namespace gestalt
