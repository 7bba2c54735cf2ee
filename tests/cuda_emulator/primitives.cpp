// Asynchronous copies and matrix fragments.
#include <fmt/format.h>

#include "tests/cuda_emulator/include/emulated_primitives.h"

namespace emulator::primitives {
namespace {

constexpr uint32_t all_lanes = 0xffffffffu;

// Copies land when they are waited for; in reverse order as soon as they begin, which may be all too soon for what
// other threads still read there; in random order either way.
bool lands_at_once() { return order() == Order::reverse || (order() == Order::random && coin()); }

void finish(const PendingCopy& c) {
  std::memcpy(c.to, c.from, static_cast<size_t>(c.valid_bytes));
  std::memset(static_cast<char*>(c.to) + c.valid_bytes, 0, static_cast<size_t>(c.bytes - c.valid_bytes));
}

struct MatrixLoad {
  const uint16_t* row;
  uint32_t* registers;
};

// `count` 8×8 matrices; lane 8i + r names row r of matrix i.
template <int count, bool transposed>
void distribute(void* const* payloads, uint32_t) {
  auto of = [&](int lane) { return static_cast<const MatrixLoad*>(payloads[lane]); };
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < count; ++i) {
      uint16_t pair[2];
      for (int e = 0; e < 2; ++e) {
        const int major = lane / 4, minor = lane % 4 * 2 + e;
        pair[e] = transposed ? of(8 * i + minor)->row[major] : of(8 * i + major)->row[minor];
      }
      of(lane)->registers[i] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
    }
}

template <int count, bool transposed>
void load(const char* what, uint32_t (&r)[count], const void* row, Site where) {
  if (lane() < 8 * count && reinterpret_cast<uintptr_t>(row) % 16 != 0)
    fault(fmt::format("{} at {}:{}: the row's address is no multiple of 16", what, where.file, where.line));
  MatrixLoad mine{static_cast<const uint16_t*>(row), r};
  warp_meeting(what, where, all_lanes, &mine, distribute<count, transposed>);
}

struct Fragments {
  float* d;
  const uint32_t *a, *b;
};

float half_of(uint32_t pair, int which) { return std::bit_cast<float>(which ? pair & 0xffff0000u : pair << 16); }
float tf32(uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000u); }

// The device's tensor cores cut the bits of a sum off that f32 has no room for.
float toward_zero(double x) {
  const float near = static_cast<float>(x);
  return std::abs(double{near}) > std::abs(x) ? std::bit_cast<float>(std::bit_cast<uint32_t>(near) - 1) : near;
}

template <int k>
void add_product(void* const* payloads, const float (&a)[16][k], const float (&b)[k][8]) {
  double sums[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int l = 0; l < k; ++l)
      for (int column = 0; column < 8; ++column) sums[row][column] += double{a[row][l]} * b[l][column];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      float& d = static_cast<const Fragments*>(payloads[lane])->d[i];
      d = toward_zero(d + sums[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]);
    }
}

void product_bf16(void* const* payloads, uint32_t) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& f = *static_cast<const Fragments*>(payloads[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int e = 0; e < 2; ++e) {
      for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][2 * t + i / 2 * 8 + e] = half_of(f.a[i], e);
      for (int i = 0; i < 2; ++i) b[2 * t + i * 8 + e][g] = half_of(f.b[i], e);
    }
  }
  add_product<16>(payloads, a, b);
}

void product_tf32(void* const* payloads, uint32_t) {
  float a[16][8], b[8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& f = *static_cast<const Fragments*>(payloads[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = tf32(f.a[i]);
    for (int i = 0; i < 2; ++i) b[t + i * 4][g] = tf32(f.b[i]);
  }
  add_product<8>(payloads, a, b);
}

}  // namespace

void record_copy(void* to, const void* from, int bytes, int valid_bytes) {
  const auto misaligned = (reinterpret_cast<uintptr_t>(to) | (valid_bytes ? reinterpret_cast<uintptr_t>(from) : 0)) %
                          static_cast<unsigned>(bytes);
  if (misaligned) fault(fmt::format("an asynchronous copy of {} bytes with a misaligned address", bytes));
  const PendingCopy copy{to, from, bytes, valid_bytes, lands_at_once()};
  if (copy.landed) finish(copy);
  pending_copies().open.push_back(copy);
}

void commit_copies() {
  PendingCopies& p = pending_copies();
  p.groups.push_back(std::move(p.open));
  p.open.clear();
}

void finish_copies(int still_open) {
  auto& groups = pending_copies().groups;
  while (groups.size() > static_cast<size_t>(still_open)) {
    for (const PendingCopy& c : groups.front())
      if (!c.landed) finish(c);
    groups.erase(groups.begin());
  }
}

void load_matrix(uint32_t (&r)[4], const void* row, Site where) { load<4, false>("load_matrix", r, row, where); }
void load_matrix(uint32_t (&r)[2], const void* row, Site where) { load<2, false>("load_matrix", r, row, where); }
void load_matrix_transposed(uint32_t (&r)[4], const void* row, Site where) {
  load<4, true>("load_matrix_transposed", r, row, where);
}
void load_matrix_transposed(uint32_t (&r)[2], const void* row, Site where) {
  load<2, true>("load_matrix_transposed", r, row, where);
}

void multiply_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site where) {
  Fragments mine{d, a, b};
  warp_meeting("multiply_bf16", where, all_lanes, &mine, product_bf16);
}
void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site where) {
  Fragments mine{d, a, b};
  warp_meeting("multiply_tf32", where, all_lanes, &mine, product_tf32);
}

}  // namespace emulator::primitives
