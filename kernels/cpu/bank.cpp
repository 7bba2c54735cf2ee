// Tables by sample on the CPU.
#include "kernels/bank.h"

namespace gestalt::kernels::cpu {
namespace {

void check_sample(const char* kernel, int64_t sample, int64_t length) {
  check(sample >= 0 && sample < length, "[{}] got sample {}, expected 0 to {}", kernel, sample, length - 1);
}

}  // namespace

void run(const StoreRows& k, Stream) {
  const int32_t* samples = k.samples.as<int32_t>();
  for (int64_t i = 0; i < k.count; ++i) check_sample("store_rows", samples[i], k.length);
  dispatch_float(k.rows.dtype, [&](auto tag) {
    using T = decltype(tag);
    using S = Accumulator<T>;
    const T* rows = k.rows.as<T>();
    S* table = k.table.as<S>();
    for (int64_t i = 0; i < k.count; ++i)
      for (int64_t d = 0; d < k.dim; ++d) table[samples[i] * k.dim + d] = static_cast<S>(rows[i * k.dim + d]);
  });
}

void run(const ReadNumbers& k, Stream) {
  const int32_t *table = k.table.as<int32_t>(), *samples = k.samples.as<int32_t>();
  int32_t* y = k.y.as<int32_t>();
  for (int64_t i = 0; i < k.count; ++i) {
    check_sample("read_numbers", samples[i], k.length);
    for (int64_t r = 0; r < k.repeats; ++r) y[r * k.count + i] = table[samples[i]];
  }
}

}  // namespace gestalt::kernels::cpu
