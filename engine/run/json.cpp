// JSON by nlohmann/json.
#include "engine/run/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/check.h"

namespace gestalt {
namespace {

using Library = nlohmann::ordered_json;

// Hands on what the library reads.
class Reader : public nlohmann::json_sax<Library> {
 public:
  explicit Reader(JsonReceiver& to) : to_(to) {}

  bool null() override { return to_.null(), true; }
  bool boolean(bool value) override { return to_.boolean(value), true; }
  bool number_integer(number_integer_t value) override { return to_.negative(value), true; }
  bool number_unsigned(number_unsigned_t value) override { return to_.count(value), true; }
  bool number_float(number_float_t value, const string_t& written) override { return to_.real(value, written), true; }
  bool string(string_t& value) override { return to_.text(value), true; }
  bool binary(binary_t&) override { return false; }  // JSON has none
  bool start_object(std::size_t) override { return to_.begin_object(), true; }
  bool key(string_t& name) override { return to_.key(name), true; }
  bool end_object() override { return to_.end_object(), true; }
  bool start_array(std::size_t) override { return to_.begin_array(), true; }
  bool end_array() override { return to_.end_array(), true; }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) override {
    return to_.broken(byte, error.what()), false;
  }

 private:
  JsonReceiver& to_;
};

// Makes a document of it.
class Builder : public JsonReceiver {
 public:
  Builder(std::string source, size_t deepest, bool once) : source_(std::move(source)), deepest_(deepest), once_(once) {}

  Json document;

  void null() override { put({}); }
  void boolean(bool value) override { put(value); }
  void negative(int64_t value) override { put(value); }
  void count(uint64_t value) override { put(value); }
  void real(double value, const std::string&) override { put(value); }
  void text(std::string& value) override { put(std::move(value)); }
  void begin_object() override { open(Json::object()); }
  void key(std::string& name) override {
    key_ = std::move(name);
    check(!once_ || keys_.back().insert(key_).second, "[json] {}: the key '{}' stands twice", source_, key_);
  }
  void end_object() override { open_.pop_back(), keys_.pop_back(); }
  void begin_array() override { open(Json::array()); }
  void end_array() override { end_object(); }
  void broken(size_t, const char* why) override { fail("[json] {}: {}", source_, why); }

 private:
  Json& put(Json value) {
    if (open_.empty()) return document = std::move(value);
    if (open_.back()->is_array()) return open_.back()->push_back(std::move(value));
    return (*open_.back())[key_] = std::move(value);
  }
  void open(Json empty) {
    check(open_.size() < deepest_, "[json] {}: nested deeper than {}", source_, deepest_);
    open_.push_back(&put(std::move(empty)));
    keys_.emplace_back();
  }

  std::string source_, key_;
  size_t deepest_;
  bool once_;
  std::vector<Json*> open_;  // what is open; parts of one do not move before it is closed
  std::vector<std::set<std::string>> keys_;
};

Library to_library(const Json& json) {
  if (json.is_null()) return nullptr;
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned()) return json.get<uint64_t>();
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.text();
  Library all = json.is_array() ? Library::array() : Library::object();
  if (json.is_array())
    for (const Json& part : json) all.push_back(to_library(part));
  else
    for (const auto& [name, value] : json.items()) all[name] = to_library(value);
  return all;
}

}  // namespace

Json::Json() = default;
Json::Json(std::string text) : kind_(Kind::text), text_(std::move(text)) {}
Json::Json(std::initializer_list<Json> parts) : kind_(Kind::array) {
  const bool pairs = std::all_of(parts.begin(), parts.end(), [](const Json& part) {
    return part.is_array() && part.size() == 2 && part.at(0).is_string();
  });
  if (!pairs) {
    parts_.assign(parts);
    return;
  }
  kind_ = Kind::object;
  for (const Json& part : parts) (*this)[part.at(0).text()] = part.at(1);
}
Json Json::array() {
  Json json;
  json.kind_ = Kind::array;
  return json;
}
Json Json::object() {
  Json json;
  json.kind_ = Kind::object;
  return json;
}

Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

const char* Json::type_name() const {
  static constexpr const char* names[] = {"null", "boolean", "number", "number", "number", "string", "array", "object"};
  return names[static_cast<size_t>(kind_)];
}

const std::string& Json::text() const {
  check(is_string(), "[json] got {}, expected a text", type_name());
  return text_;
}
bool Json::as_boolean() const {
  check(is_boolean(), "[json] got {}, expected true or false", type_name());
  return count_ != 0;
}
int64_t Json::as_integer() const {
  check(is_number(), "[json] got {}, expected a number", type_name());
  constexpr double most = 9223372036854775808.0;
  const bool fits = kind_ == Kind::real ? real_ >= -most && real_ < most : kind_ == Kind::integer || integer_ >= 0;
  if (!fits) fail("[json] got {}, expected a number of 64 bits", dump());
  return kind_ == Kind::real ? static_cast<int64_t>(real_) : integer_;
}
uint64_t Json::as_count() const {
  if (kind_ == Kind::count) return count_;
  const int64_t value = as_integer();
  if (value < 0) fail("[json] got {}, expected a number that is not negative", value);
  return static_cast<uint64_t>(value);
}
double Json::as_real() const {
  check(is_number(), "[json] got {}, expected a number", type_name());
  return kind_ == Kind::real    ? real_
         : kind_ == Kind::count ? static_cast<double>(count_)
                                : static_cast<double>(integer_);
}

const Json* Json::begin() const {
  check(is_array() || is_object() || is_null(), "[json] got {}, expected an array", type_name());
  return parts_.data();
}
Json::Items Json::items() const {
  check(is_object() || is_null(), "[json] got {}, expected an object", type_name());
  return Items(*this);
}

const Json& Json::at(size_t i) const {
  check(is_array() && i < size(), "[json] got part {} of {} of {}", i, type_name(), size());
  return parts_[i];
}
Json& Json::push_back(Json part) {
  if (is_null()) kind_ = Kind::array;
  check(is_array(), "[json] got {}, expected an array to put a part into", type_name());
  return parts_.emplace_back(std::move(part));
}

const Json* Json::find(std::string_view name) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  return found == names_.end() ? nullptr : &parts_[static_cast<size_t>(found - names_.begin())];
}
const Json& Json::at(std::string_view name) const {
  const Json* found = find(name);
  check(found, "[json] {} has no '{}'", is_object() ? "the object" : type_name(), name);
  return *found;
}
Json& Json::operator[](std::string_view name) {
  if (is_null()) kind_ = Kind::object;
  check(is_object(), "[json] got {}, expected an object to put '{}' into", type_name(), name);
  if (const Json* found = find(name)) return const_cast<Json&>(*found);
  names_.emplace_back(name);
  return parts_.emplace_back();
}
void Json::erase(std::string_view name) {
  const Json* found = find(name);
  if (!found) return;
  names_.erase(names_.begin() + (found - begin()));
  parts_.erase(parts_.begin() + (found - begin()));
}
void Json::update(const Json& object) {
  for (const auto& [name, value] : object.items()) (*this)[name] = value;
}

bool operator==(const Json& a, const Json& b) {
  if (a.is_number_integer() && b.is_number_integer())
    return a.count_ == b.count_ && (a.kind_ == b.kind_ || a.integer_ >= 0);
  if (a.is_number() && b.is_number()) return a.as_real() == b.as_real();
  if (a.is_boolean() && b.is_boolean()) return a.count_ == b.count_;
  return a.kind_ == b.kind_ && a.text_ == b.text_ && a.names_ == b.names_ && a.parts_ == b.parts_;
}

std::string Json::dump(int indent) const {
  return to_library(*this).dump(indent, ' ', false, Library::error_handler_t::replace);
}

Json parse_json(const std::string& source, std::string_view text) {
  Builder builder(source, 32, true);
  read_json(text, builder);
  return std::move(builder.document);
}

Json json_or_null(std::string_view text) {
  Builder builder("", 1000, false);
  try {
    read_json(text, builder);
  } catch (const Error&) { return nullptr; }
  return std::move(builder.document);
}

void read_json(std::string_view text, JsonReceiver& receiver) {
  Reader reader(receiver);
  Library::sax_parse(text, &reader);
}

std::string json_library() {
  return fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH);
}

}  // namespace gestalt
