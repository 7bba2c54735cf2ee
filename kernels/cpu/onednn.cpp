// Products and convolutions through oneDNN, each primitive built once per shape and kept.
#include "kernels/cpu/onednn.h"

#include <omp.h>

#include <array>
#include <map>
#include <mutex>
#include <unordered_map>

namespace gestalt::kernels::cpu::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

dnnl::engine& engine() {
  static dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}
dnnl::stream& stream() {
  thread_local dnnl::stream s(engine());
  return s;
}

memory::data_type type(DType dtype) {
  check(dtype == DType::f32 || dtype == DType::bf16, "[onednn] got {}, expected f32 or bf16", name(dtype));
  return dtype == DType::f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

template <class Operand>
void* address(const Operand& operand) {
  return const_cast<void*>(static_cast<const void*>(operand.data));
}

// While it lives, oneDNN plans for the calling thread alone and works in it: our team shares out pieces, and how they
// are cut does not depend on its size.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneThread(const OneThread&) = delete;

 private:
  int before_;
};

// Runs f, turning oneDNN's error into ours.
template <class F>
auto guarded(const char* what, F&& f) {
  const OneThread one_thread;
  try {
    return f();
  } catch (const dnnl::error& e) { fail("[onednn {}] {} (status {})", what, e.what(), static_cast<int>(e.status)); }
}

// A primitive with the layouts it wants. Operands in another layout are reordered into buffers that live here.
struct Planned {
  dnnl::primitive primitive;
  // Descriptors of (source, weights, destination): as the user has them and as the primitive wants them.
  std::array<memory::desc, 3> user, wanted;
  std::array<memory, 3> staging;
  std::array<dnnl::reorder, 3> reorder;
  memory scratch;
  bool bias = false;
  memory::desc bias_desc;
};

// Keys are all the integers that a shape is made of.
using Key = std::array<int64_t, 14>;

class Cache {
 public:
  template <class Make>
  Planned& get(const Key& key, Make&& make) {
    auto found = plans_.find(key);
    if (found == plans_.end()) found = plans_.emplace(key, make()).first;
    return found->second;
  }

 private:
  std::map<Key, Planned> plans_;
};

// One cache a thread: a plan's buffers are used by one call at a time.
Cache& cache() {
  thread_local Cache c;
  return c;
}

// Gives the primitive a destination (index `result`) and inputs in the layouts it wants.
void prepare(Planned& plan, int result) {
  for (int i = 0; i < 3; ++i) {
    if (plan.user[i] == plan.wanted[i]) continue;
    plan.staging[i] = memory(plan.wanted[i], engine());
    const auto &from = i == result ? plan.wanted[i] : plan.user[i], &to = i == result ? plan.user[i] : plan.wanted[i];
    plan.reorder[i] = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to));
  }
}

// names[i] is the argument that operand i is to the primitive; `result` is the operand that is written.
void execute(Planned& plan, const std::array<void*, 3>& operands, const std::array<int, 3>& names, int result,
             void* bias) {
  std::unordered_map<int, memory> arguments;
  std::array<memory, 3> user;
  for (int i = 0; i < 3; ++i) {
    user[i] = memory(plan.user[i], engine(), operands[i]);
    const bool staged = static_cast<bool>(plan.staging[i]);
    if (staged && i != result) plan.reorder[i].execute(stream(), user[i], plan.staging[i]);
    arguments[names[i]] = staged ? plan.staging[i] : user[i];
  }
  if (plan.bias) arguments[DNNL_ARG_BIAS] = memory(plan.bias_desc, engine(), bias);
  if (plan.scratch) arguments[DNNL_ARG_SCRATCHPAD] = plan.scratch;
  plan.primitive.execute(stream(), arguments);
  if (plan.staging[result]) plan.reorder[result].execute(stream(), plan.staging[result], user[result]);
  stream().wait();
}

// Levels are sets of bits; what the processor lacks or DNNL_MAX_CPU_ISA forbids is not in the effective one.
bool may_use(dnnl::cpu_isa level) {
#if !defined(__x86_64__)
  return false;  // where the same bits mean other things
#endif
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa()), wanted = static_cast<unsigned>(level);
  return (isa & wanted) == wanted;
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

template <class PrimitiveDesc>
void add_scratch(Planned& plan, const PrimitiveDesc& desc) {
  if (desc.scratchpad_desc().get_size() > 0) plan.scratch = memory(desc.scratchpad_desc(), engine());
}

struct ConvDescs {
  memory::desc x, w, y;  // as the user has them
  memory::desc any_w;    // weights in whatever layout is fastest
  memory::dims stride, padding;
};

ConvDescs describe(const ConvShape& s, DType dtype, DType w_dtype) {
  const auto t = type(dtype);
  const memory::dims x{s.batch, s.in_channels, s.height, s.width};
  const memory::dims w{s.out_channels, s.in_channels, s.kernel_height, s.kernel_width};
  const memory::dims y{s.batch, s.out_channels, s.out_height(), s.out_width()};
  return {memory::desc(x, t, Tag::nhwc),    memory::desc(w, type(w_dtype), Tag::ohwi),
          memory::desc(y, t, Tag::nhwc),    memory::desc(w, type(w_dtype), Tag::any),
          memory::dims{s.stride, s.stride}, memory::dims{s.padding, s.padding}};
}

Key key_of(int kind, const ConvShape& s, DType dtype) {
  return {kind,           static_cast<int64_t>(dtype),
          s.batch,        s.height,
          s.width,        s.in_channels,
          s.out_channels, s.kernel_height,
          s.kernel_width, s.stride,
          s.padding};
}

using dnnl::algorithm;
using dnnl::convolution_backward_data;
using dnnl::convolution_backward_weights;
using dnnl::convolution_forward;

convolution_forward::primitive_desc forward_desc(const ConvDescs& d) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(),
          dnnl::prop_kind::forward_training,
          algorithm::convolution_direct,
          d.x,
          d.any_w,
          d.y,
          d.stride,
          d.padding,
          d.padding,
          attributes()};
#else
  return {{dnnl::prop_kind::forward_training, algorithm::convolution_direct, d.x, d.any_w, d.y, d.stride, d.padding,
           d.padding},
          attributes(),
          engine()};
#endif
}

convolution_backward_data::primitive_desc backward_input_desc(const ConvDescs& d) {
#if DNNL_VERSION_MAJOR >= 3
  return {
      engine(),    algorithm::convolution_direct, d.x, d.any_w, d.y, d.stride, d.padding, d.padding, forward_desc(d),
      attributes()};
#else
  return {{algorithm::convolution_direct, d.x, d.any_w, d.y, d.stride, d.padding, d.padding},
          attributes(),
          engine(),
          forward_desc(d)};
#endif
}

convolution_backward_weights::primitive_desc backward_weights_desc(const ConvDescs& d, const ConvDescs& forward) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(),  algorithm::convolution_direct, d.x,         d.any_w, d.y, d.stride, d.padding,
          d.padding, forward_desc(forward),         attributes()};
#else
  return {{algorithm::convolution_direct, d.x, d.any_w, d.y, d.stride, d.padding, d.padding},
          attributes(),
          engine(),
          forward_desc(forward)};
#endif
}

// The plan of a convolution that wants its weights as `w` has them and writes operand `result` of (x, w, y).
template <class Primitive>
Planned plan_of(const ConvDescs& d, const typename Primitive::primitive_desc& desc, const memory::desc& w, int result) {
  Planned p;
  p.user = {d.x, d.w, d.y};
  p.wanted = {d.x, w, d.y};
  p.primitive = Primitive(desc);
  add_scratch(p, desc);
  prepare(p, result);
  return p;
}

template <class Make>
void convolve(const char* what, const Key& key, const std::array<void*, 3>& operands, const std::array<int, 3>& names,
              int result, Make&& make) {
  guarded(what, [&] { execute(cache().get(key, make), operands, names, result, nullptr); });
}

}  // namespace

void product(const ProductBlock& k) {
  const Key key{1,
                static_cast<int64_t>(k.a.dtype) * 16 + static_cast<int64_t>(k.c.dtype),
                k.m,
                k.n,
                k.k,
                k.batch,
                k.lda,
                k.ldb,
                k.ldc,
                k.transpose_a,
                k.transpose_b,
                static_cast<bool>(k.bias),
                k.a_stride,
                k.b_stride};
  guarded("product", [&] {
    Planned& plan = cache().get(key, [&] {
      const memory::dims a{k.batch, k.m, k.k}, b{k.batch, k.k, k.n}, c{k.batch, k.m, k.n};
      const auto strides = [](int64_t matrix, int64_t leading, bool transposed) {
        return transposed ? memory::dims{matrix, 1, leading} : memory::dims{matrix, leading, 1};
      };
      Planned p;
      p.user = {memory::desc(a, type(k.a.dtype), strides(k.a_stride, k.lda, k.transpose_a)),
                memory::desc(b, type(k.b.dtype), strides(k.b_stride, k.ldb, k.transpose_b)),
                memory::desc(c, type(k.c.dtype), strides(k.m * k.ldc, k.ldc, false))};
      p.wanted = p.user;
      p.bias = static_cast<bool>(k.bias);
      p.bias_desc = p.bias ? memory::desc({1, 1, k.n}, memory::data_type::f32, Tag::abc) : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
      const dnnl::matmul::primitive_desc desc(engine(), p.user[0], p.user[1], p.bias_desc, p.user[2], attributes());
#else
      const dnnl::matmul::desc d = p.bias ? dnnl::matmul::desc(p.user[0], p.user[1], p.bias_desc, p.user[2])
                                          : dnnl::matmul::desc(p.user[0], p.user[1], p.user[2]);
      const dnnl::matmul::primitive_desc desc(d, attributes(), engine());
#endif
      p.primitive = dnnl::matmul(desc);
      add_scratch(p, desc);
      return p;
    });
    execute(plan, {address(k.a), address(k.b), address(k.c)}, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 2,
            address(k.bias));
  });
}

void conv_forward(const Conv& k) {
  convolve("convolution", key_of(2, k.shape, k.x.dtype), {address(k.x), address(k.w), address(k.y)},
           {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 2, [&] {
             const ConvDescs d = describe(k.shape, k.x.dtype, k.w.dtype);
             const auto desc = forward_desc(d);
             return plan_of<convolution_forward>(d, desc, desc.weights_desc(), 2);
           });
}

void conv_backward_input(const ConvBackwardInput& k) {
  convolve("convolution backward input", key_of(3, k.shape, k.dy.dtype), {address(k.dx), address(k.w), address(k.dy)},
           {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST}, 0, [&] {
             const ConvDescs d = describe(k.shape, k.dy.dtype, k.w.dtype);
             const auto desc = backward_input_desc(d);
             return plan_of<convolution_backward_data>(d, desc, desc.weights_desc(), 0);
           });
}

void conv_backward_weights(const ConvBackwardWeights& k) {
  convolve("convolution backward weights", key_of(4, k.shape, k.x.dtype), {address(k.x), address(k.dw), address(k.dy)},
           {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}, 1, [&] {
             const ConvDescs forward = describe(k.shape, k.x.dtype, k.x.dtype);
             const ConvDescs d = describe(k.shape, k.x.dtype, DType::f32);
             const auto desc = backward_weights_desc(d, forward);
             return plan_of<convolution_backward_weights>(d, desc, desc.diff_weights_desc(), 1);
           });
}

bool has_bf16_instructions() { return may_use(dnnl::cpu_isa::avx512_core_bf16); }
bool has_matrix_units() { return may_use(dnnl::cpu_isa::avx512_core_amx); }

}  // namespace gestalt::kernels::cpu::onednn
