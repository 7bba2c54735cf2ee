// JSON documents as values. nlohmann/json reads and writes them, in json.cpp alone: its header takes longer to compile
// than most files that need a document.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace gestalt {

// null, true or false, a number, a text, an array, or an object whose members keep their order; named as in nlohmann's.
// Asking a value of another kind for what it has not throws Error. Texts are UTF-8: see utf8_from_bytes().
class Json {
 public:
  enum class Kind : uint8_t { null, boolean, integer, count, real, text, array, object };  // counts are not negative

  Json();
  Json(std::nullptr_t) : Json() {}
  template <class T>
  requires std::is_arithmetic_v<T> Json(T value) : Json() {
    if constexpr (std::same_as<T, bool>)
      kind_ = Kind::boolean, count_ = value;
    else if constexpr (std::floating_point<T>)
      kind_ = Kind::real, real_ = static_cast<double>(value);
    else if constexpr (std::signed_integral<T>)
      kind_ = Kind::integer, integer_ = value;
    else
      kind_ = Kind::count, count_ = value;
  }
  Json(std::string text);
  Json(std::string_view text) : Json(std::string(text)) {}
  Json(const char* text) : Json(std::string(text)) {}
  template <class T>
  Json(const std::vector<T>& values) : Json() {
    kind_ = Kind::array;
    for (const T& value : values) push_back(value);
  }
  // An object where all parts are pairs {name, value}, else an array.
  Json(std::initializer_list<Json> parts);
  static Json array();
  static Json object();

  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();

  bool is_null() const { return kind_ == Kind::null; }
  bool is_boolean() const { return kind_ == Kind::boolean; }
  bool is_number_integer() const { return kind_ == Kind::integer || kind_ == Kind::count; }
  bool is_number_unsigned() const { return kind_ == Kind::count; }  // as all that are read and not negative
  bool is_number() const { return is_number_integer() || kind_ == Kind::real; }
  bool is_string() const { return kind_ == Kind::text; }
  bool is_array() const { return kind_ == Kind::array; }
  bool is_object() const { return kind_ == Kind::object; }
  const char* type_name() const;

  // T is bool, an integer, a floating number, std::string, or a vector of one of these.
  template <class T>
  T get() const {
    if constexpr (std::same_as<T, bool>) {
      return as_boolean();
    } else if constexpr (std::unsigned_integral<T>) {
      return static_cast<T>(as_count());
    } else if constexpr (std::integral<T>) {
      return static_cast<T>(as_integer());
    } else if constexpr (std::floating_point<T>) {
      return static_cast<T>(as_real());
    } else if constexpr (std::same_as<T, std::string>) {
      return text();
    } else {
      T values;
      for (const Json& part : *this) values.push_back(part.get<typename T::value_type>());
      return values;
    }
  }
  const std::string& text() const;

  // Of arrays and objects; the latter's parts are their values. null has none, and becomes what is put into it.
  size_t size() const { return parts_.size(); }
  bool empty() const { return parts_.empty(); }
  const Json* begin() const;
  const Json* end() const { return parts_.data() + parts_.size(); }
  const Json& operator[](size_t i) const { return at(i); }
  Json& operator[](size_t i) { return const_cast<Json&>(at(i)); }
  const Json& at(size_t i) const;
  Json& push_back(Json part);  // returns where it is

  const Json* find(std::string_view name) const;  // null where an object has no such member, and of anything else
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  const Json& at(std::string_view name) const;
  const Json& operator[](std::string_view name) const { return at(name); }
  Json& operator[](std::string_view name);  // adds a null where there is none
  template <class T>
  T value(std::string_view name, T otherwise) const {
    const Json* found = find(name);
    if constexpr (std::same_as<T, Json>)
      return found ? *found : otherwise;
    else
      return found ? found->get<T>() : otherwise;
  }
  void erase(std::string_view name);
  void update(const Json& object);  // its members, in the place of those of the same name

  // for (const auto& [name, value] : object.items())
  struct Item {
    const std::string& name;
    const Json& value;
  };
  class Items {
   public:
    class Iterator {
     public:
      Iterator(const Json& of, size_t at) : of_(of), at_(at) {}
      Item operator*() const { return {of_.names_[at_], of_.parts_[at_]}; }
      Iterator& operator++() { return ++at_, *this; }
      bool operator!=(const Iterator& other) const { return at_ != other.at_; }

     private:
      const Json& of_;
      size_t at_;
    };
    explicit Items(const Json& of) : of_(of) {}
    Iterator begin() const { return {of_, 0}; }
    Iterator end() const { return {of_, of_.names_.size()}; }

   private:
    const Json& of_;
  };
  Items items() const;

  // Numbers are compared by their values, objects with the order of their members.
  friend bool operator==(const Json& a, const Json& b);

  // In one line, or with `indent` spaces a level. Bytes that are no UTF-8 become U+FFFD, numbers that are not finite
  // null.
  std::string dump(int indent = -1) const;

 private:
  bool as_boolean() const;
  int64_t as_integer() const;
  uint64_t as_count() const;
  double as_real() const;

  Kind kind_ = Kind::null;
  union {
    int64_t integer_ = 0;
    uint64_t count_;
    double real_;
  };
  std::string text_;
  std::vector<Json> parts_;
  std::vector<std::string> names_;  // of an object's parts
};

// Parses a document that somebody may have edited: throws Error, naming `source`, for broken syntax, a key that stands
// twice in one object (libraries silently keep the last) and nesting deeper than 32.
Json parse_json(const std::string& source, std::string_view text);
// null for what is no JSON, or nested deeper than 1,000; of members with one name the last counts.
Json json_or_null(std::string_view text);

// What a text holds, piece by piece: for documents that are large, or of which only one form is allowed.
class JsonReceiver {
 public:
  virtual ~JsonReceiver() = default;
  virtual void null() = 0;
  virtual void boolean(bool value) = 0;
  virtual void negative(int64_t value) = 0;  // a whole number
  virtual void count(uint64_t value) = 0;
  virtual void real(double value, const std::string& written) = 0;
  virtual void text(std::string& value) = 0;
  virtual void begin_object() = 0;
  virtual void key(std::string& name) = 0;
  virtual void end_object() = 0;
  virtual void begin_array() = 0;
  virtual void end_array() = 0;
  virtual void broken(size_t byte, const char* why) = 0;  // nothing comes after it
};
void read_json(std::string_view text, JsonReceiver& receiver);

// The version of the library behind it.
std::string json_library();

}  // namespace gestalt
