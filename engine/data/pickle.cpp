// Pickle's stack machine, for data alone.
#include "engine/data/pickle.h"

#include <algorithm>
#include <map>

#include "kernels/check.h"

namespace gestalt {

using Kind = PickleValue::Kind;

const PickleValue* PickleValue::at(std::string_view key) const {
  for (size_t i = 0; kind == Kind::dict && i + 1 < items.size(); i += 2)
    if (items[i]->kind == Kind::text && items[i]->text == key) return items[i + 1];
  return nullptr;
}

class PickleReader {
 public:
  PickleReader(std::span<const uint8_t> bytes, std::deque<PickleValue>& values) : bytes_(bytes), values_(values) {}

  PickleValue* read() {
    for (;;) {
      const auto code = static_cast<uint8_t>(number(1));
      if (code == '.') return pop();
      step(code);
    }
  }

 private:
  std::string_view take(uint64_t count) {
    check(count <= bytes_.size() - at_, "[pickle] ends after {} bytes", bytes_.size());
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + at_, count);
    at_ += count;
    return text;
  }
  // A little-endian number.
  uint64_t number(int bytes) {
    uint64_t value = 0;
    const std::string_view text = take(static_cast<uint64_t>(bytes));
    for (int i = 0; i < bytes; ++i) value |= uint64_t{static_cast<uint8_t>(text[static_cast<size_t>(i)])} << (8 * i);
    return value;
  }
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes_.size() - at_);
    const std::string_view text = take(std::min(rest.find('\n'), rest.size()));
    take(1);
    return text;
  }

  PickleValue& push(Kind kind) {
    stack_.push_back(&values_.emplace_back());
    stack_.back()->kind = kind;
    return *stack_.back();
  }
  void push_text(uint64_t count) {
    const std::string_view text = take(count);
    push(Kind::text).text = text;
  }
  void push_number(int64_t value) { push(Kind::number).number = value; }
  PickleValue* pop() {
    check(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "[pickle] takes a value where there is none");
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue& top(Kind kind) {
    check(!stack_.empty() && stack_.back()->kind == kind, "[pickle] puts values into what cannot hold them");
    return *stack_.back();
  }
  // What stands above the last mark.
  std::vector<PickleValue*> pop_marked() {
    check(!marks_.empty(), "[pickle] has no mark where one is due");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue*> values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }
  void push_name(std::string_view module, std::string_view name) {
    PickleValue& value = push(Kind::name);
    value.text = module, value.type = name;
  }
  void push_name_of_lines() {
    const std::string_view module = line();
    push_name(module, line());
  }
  void push_name_of_stack() {
    const PickleValue* name = pop();
    push_name(pop()->text, name->text);
  }
  void push_last(int count) {
    std::vector<PickleValue*> items;
    for (int i = 0; i < count; ++i) items.insert(items.begin(), pop());
    push(Kind::items).items = std::move(items);
  }
  void add(Kind kind, const std::vector<PickleValue*>& items) {
    PickleValue& value = top(kind);
    check(kind != Kind::dict || items.size() % 2 == 0, "[pickle] has a key without a value");
    value.items.insert(value.items.end(), items.begin(), items.end());
  }

  void keep(uint64_t place) {
    check(!stack_.empty(), "[pickle] keeps a value where there is none");
    memo_[place] = stack_.back();
  }
  void recall(uint64_t place) {
    const auto found = memo_.find(place);
    check(found != memo_.end(), "[pickle] asks for a value that was not kept");
    stack_.push_back(found->second);
  }

  // A call: arrays and the types of their numbers alone.
  void call() {
    const PickleValue* arguments = pop();
    const PickleValue* called = pop();
    check(called->kind == Kind::name && arguments->kind == Kind::items, "[pickle] calls what is no class");
    if (called->type == "_reconstruct" && called->text.ends_with(".multiarray")) {
      push(Kind::array);
      return;
    }
    const bool type = called->text == "numpy" && called->type == "dtype" && !arguments->items.empty() &&
                      arguments->items[0]->kind == Kind::text;
    check(type, "[pickle] calls {}.{}, which is not read", called->text, called->type);
    push(Kind::text).text = arguments->items[0]->text;
  }
  // An array's state: version, shape, type, whether it lies column by column, bytes.
  void build() {
    const PickleValue* state = pop();
    check(!stack_.empty(), "[pickle] has a state of nothing");
    if (stack_.back()->kind == Kind::text) return;  // a type's byte order: its name says enough of bytes
    PickleValue& array = top(Kind::array);
    check(state->kind == Kind::items && state->items.size() == 5 && state->items[1]->kind == Kind::items &&
              state->items[2]->kind == Kind::text && state->items[4]->kind == Kind::text,
          "[pickle] has an array that is not read");
    array.items = state->items[1]->items;
    array.type = state->items[2]->text;
    array.number = state->items[3]->number;
    array.text = state->items[4]->text;
  }

  void step(uint8_t code);
  bool push_scalar(uint8_t code);
  bool push_collection(uint8_t code);
  bool add_to_collection(uint8_t code);
  bool remember(uint8_t code);

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  std::deque<PickleValue>& values_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, PickleValue*> memo_;
};

// Each returns whether it knows the code.
bool PickleReader::push_scalar(uint8_t code) {
  if (code == 'N')
    push(Kind::none);
  else if (code == 0x88 || code == 0x89)
    push_number(code == 0x88);
  else if (code == 'K' || code == 'M')
    push_number(static_cast<int64_t>(number(code == 'K' ? 1 : 2)));
  else if (code == 'J')
    push_number(static_cast<int32_t>(number(4)));
  else if (code == 'U' || code == 'C' || code == 0x8c)
    push_text(number(1));
  else if (code == 'T' || code == 'B' || code == 'X')
    push_text(number(4));
  else if (code == 'c')
    push_name_of_lines();
  else if (code == 0x93)
    push_name_of_stack();
  else
    return false;
  return true;
}

bool PickleReader::push_collection(uint8_t code) {
  if (code == '(')
    marks_.push_back(stack_.size());
  else if (code == ']' || code == ')')
    push(Kind::items);
  else if (code == '}')
    push(Kind::dict);
  else if (code == 't')
    push(Kind::items).items = pop_marked();
  else if (code >= 0x85 && code <= 0x87)
    push_last(code - 0x84);
  else
    return false;
  return true;
}

bool PickleReader::add_to_collection(uint8_t code) {
  if (code == 'a' || code == 's') {
    std::vector<PickleValue*> items{pop()};
    if (code == 's') items.insert(items.begin(), pop());
    add(code == 'a' ? Kind::items : Kind::dict, items);
  } else if (code == 'e' || code == 'u') {
    const std::vector<PickleValue*> items = pop_marked();
    add(code == 'e' ? Kind::items : Kind::dict, items);
  } else {
    return false;
  }
  return true;
}

bool PickleReader::remember(uint8_t code) {
  if (code == 'q' || code == 'r')
    keep(number(code == 'q' ? 1 : 4));
  else if (code == 0x94)
    keep(memo_.size());
  else if (code == 'h' || code == 'j')
    recall(number(code == 'h' ? 1 : 4));
  else
    return false;
  return true;
}

void PickleReader::step(uint8_t code) {
  if (code == 0x80 || code == 0x95)  // the protocol's number, a frame's length
    take(code == 0x80 ? 1 : 8);
  else if (code == 'R')
    call();
  else if (code == 'b')
    build();
  else
    check(push_scalar(code) || push_collection(code) || add_to_collection(code) || remember(code),
          "[pickle] has code {:#04x}, which is not read; expected lists, dicts and arrays of bytes", code);
}

Pickle::Pickle(std::span<const uint8_t> bytes) { root_ = PickleReader(bytes, values_).read(); }

}  // namespace gestalt
