// The part of Python's pickle that data sets are written in, read without executing anything: numbers, strings, lists,
// tuples, dicts, and NumPy's arrays.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gestalt {

struct PickleValue {
  enum class Kind : uint8_t { none, number, text, items, dict, array, name };

  Kind kind = Kind::none;
  int64_t number = 0;               // of an array 1 where it lies column by column
  std::string_view text;            // a string, an array's bytes, the module of a class
  std::vector<PickleValue*> items;  // of a list or tuple; of a dict keys and values in turn; of an array its shape
  std::string_view type;            // of an array's numbers, "u1"; the name of a class
  const PickleValue* at(std::string_view key) const;  // of a dict; null where it has none
};

// Values point into `bytes`, which outlives it. Throws Error for what it does not know: a class, an object.
class Pickle {
 public:
  explicit Pickle(std::span<const uint8_t> bytes);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;
  const PickleValue& root() const { return *root_; }

 private:
  friend class PickleReader;
  std::deque<PickleValue> values_;
  const PickleValue* root_ = nullptr;
};

}  // namespace gestalt
