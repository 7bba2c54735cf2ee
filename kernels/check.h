// The one exception type of the project and the one way to throw it.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace gestalt {

// Every failure that a caller can mend. The message names the file, the flag or the shape, and the cure.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Parts>
[[noreturn]] void fail(fmt::format_string<Parts...> format, Parts&&... parts) {
  throw Error(fmt::format(format, std::forward<Parts>(parts)...));
}

// Throws Error unless `condition` holds; the text reads "[op] got …, expected …; cure".
template <class... Parts>
void check(bool condition, fmt::format_string<Parts...> format, Parts&&... parts) {
  if (!condition) [[unlikely]]
    fail(format, std::forward<Parts>(parts)...);
}

}  // namespace gestalt
