// Checksums that tell whether bytes are what they were: XXH3, 64 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace gestalt {

// Of bytes that come in pieces.
class Checksum {
 public:
  Checksum();
  ~Checksum();

  Checksum& add(const void* bytes, size_t count);
  Checksum& add(std::string_view text) { return add(text.data(), text.size()); }
  Checksum& add(uint64_t number) { return add(&number, sizeof number); }
  uint64_t value() const;
  std::string text() const;  // 16 hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gestalt
