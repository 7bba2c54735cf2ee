// XXH3 by the xxHash library.
#include "engine/run/checksum.h"

#define XXH_STATIC_LINKING_ONLY  // for the size of a state
#include <fmt/format.h>
#include <xxhash.h>

namespace gestalt {

struct Checksum::State {
  XXH3_state_t of;
};

Checksum::Checksum() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->of); }
Checksum::~Checksum() = default;

Checksum& Checksum::add(const void* bytes, size_t count) {
  if (count > 0) XXH3_64bits_update(&state_->of, bytes, count);
  return *this;
}

uint64_t Checksum::value() const { return XXH3_64bits_digest(&state_->of); }
std::string Checksum::text() const { return fmt::format("{:016x}", value()); }

}  // namespace gestalt
