// Matrix products on CUDA by cuBLASLt, by the algorithm that its heuristic names first for a shape.
#include "kernels/product.h"

#include <array>
#include <map>
#include <mutex>

#include "kernels/cuda/library.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/elementwise.h"

namespace gestalt::kernels::cuda {
namespace {

constexpr size_t most_workspace = size_t{32} << 20;

cudaDataType_t type(DType dtype) {
  check(dtype == DType::f32 || dtype == DType::bf16, "[product] got {}, expected f32 or bf16; f64 runs on --device cpu",
        name(dtype));
  return dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

struct Plan {
  cublasLtMatmulDesc_t op;
  cublasLtMatrixLayout_t a, b, c;
  cublasLtMatmulHeuristicResult_t choice;
  bool bias;  // in the epilogue; else a kernel adds it
  bool gelu;  // in the epilogue: the result is the GELU, what it was taken of goes to a second place
};

using Key = std::array<int64_t, 12>;

struct Library {
  cublasLtHandle_t handle;
  std::mutex mutex;
  std::map<Key, Plan> plans;

  Library() { GESTALT_CUDA_CHECK(cublasLtCreate(&handle)); }
};

Library& library() {
  static Library* l = new Library;
  return *l;
}

template <class Value>
void set(cublasLtMatmulDesc_t op, cublasLtMatmulDescAttributes_t attribute, Value value) {
  GESTALT_CUDA_CHECK(cublasLtMatmulDescSetAttribute(op, attribute, &value, sizeof(value)));
}

cublasLtMatrixLayout_t layout(DType dtype, int64_t rows, int64_t columns, int64_t batch) {
  cublasLtMatrixLayout_t l;
  GESTALT_CUDA_CHECK(cublasLtMatrixLayoutCreate(&l, type(dtype), rows, columns, rows));
  const int32_t count = static_cast<int32_t>(batch);
  const int64_t stride = rows * columns;
  GESTALT_CUDA_CHECK(cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)));
  GESTALT_CUDA_CHECK(
      cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride)));
  return l;
}

// Of what the product may write.
uint32_t result_alignment(const Product& k) {
  return k.gelu ? std::min(alignment_of(k.c.data), alignment_of(k.gelu.data)) : alignment_of(k.c.data);
}

// Whether cuBLASLt has an algorithm for the plan, which goes to its `choice`.
bool choose(const Library& lib, Plan& p, const Product& k) {
  cublasLtMatmulPreference_t preference;
  GESTALT_CUDA_CHECK(cublasLtMatmulPreferenceCreate(&preference));
  auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    GESTALT_CUDA_CHECK(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, most_workspace);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(k.b.data));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(k.a.data));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, result_alignment(k));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, result_alignment(k));
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(lib.handle, p.op, p.a, p.b, p.c, p.c, preference, 1, &p.choice, &found);
  GESTALT_CUDA_CHECK(cublasLtMatmulPreferenceDestroy(preference));
  return status == CUBLAS_STATUS_SUCCESS && found > 0;
}

// What cuBLASLt asks of a GELU in the epilogue: rows and addresses of the second place that are whole 16 bytes.
bool takes_gelu(const Product& k) {
  return k.gelu && k.c.dtype == DType::bf16 && k.batch == 1 && k.n % 8 == 0 && aligned16(k.c.data, k.gelu.data);
}

// A bias in the epilogue is read 16 bytes at a time. One of bf16 lies so, there or in working memory.
bool takes_bias(const Product& k) { return k.bias && (k.c.dtype == DType::bf16 || aligned16(k.bias.data)); }

void set_epilogue(const Plan& p, const Product& k) {
  const auto plain = p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  const auto gelu = p.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  set(p.op, CUBLASLT_MATMUL_DESC_EPILOGUE, p.gelu ? gelu : plain);
  if (p.gelu) set(p.op, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, k.n);
}

// cuBLASLt is column-major: our row-major c = a·b is its cᵀ = bᵀ·aᵀ, so the factors change places.
Plan make_plan(const Library& lib, const Product& k) {
  Plan p;
  const bool tf32 = k.a.dtype == DType::f32 && tf32_allowed();
  GESTALT_CUDA_CHECK(
      cublasLtMatmulDescCreate(&p.op, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  set(p.op, CUBLASLT_MATMUL_DESC_TRANSA, k.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(p.op, CUBLASLT_MATMUL_DESC_TRANSB, k.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  p.a = k.transpose_b ? layout(k.b.dtype, k.k, k.n, k.batch) : layout(k.b.dtype, k.n, k.k, k.batch);
  p.b = k.transpose_a ? layout(k.a.dtype, k.m, k.k, k.batch) : layout(k.a.dtype, k.k, k.m, k.batch);
  p.c = layout(k.c.dtype, k.n, k.m, k.batch);
  // What the epilogue does not take over is a kernel's, first the GELU, which is taken after the bias.
  for (const auto& [bias, gelu] : {std::pair{takes_bias(k), takes_gelu(k)}, {takes_bias(k), false}, {false, false}}) {
    p.bias = bias;
    p.gelu = gelu && (bias || !k.bias);
    set_epilogue(p, k);
    if (choose(lib, p, k)) return p;
  }
  fail("[product] cuBLASLt has no algorithm for {}×{}×{} of {} into {}", k.m, k.n, k.k, name(k.a.dtype),
       name(k.c.dtype));
}

// The bias in the result's dtype.
const void* bias_for(const Product& k, Stream stream) {
  if (k.c.dtype == DType::f32) return k.bias.data;
  if (has_rounded_bias(k)) return k.rounded_bias.data;
  run(Convert{k.bias, {stream.scratch, k.c.dtype}, k.n}, stream);
  return stream.scratch;
}

Pointwise gelu_of(const Product& k) { return {{k.c.data, k.c.dtype}, k.gelu, GeluTanh{}, k.batch * k.m * k.n}; }

}  // namespace

void run(const Product& k, Stream stream) {
  if (k.m == 0 || k.n == 0 || k.batch == 0) return;
  if (k.k == 0) {
    run(Fill{k.c, 0, k.batch * k.m * k.n}, stream);
    if (k.bias) run(AddRow{{k.c.data, k.c.dtype}, k.bias, k.c, k.batch * k.m, k.n}, stream);
    if (k.gelu) run(gelu_of(k), stream);
    return;
  }
  Library& lib = library();
  const std::lock_guard lock(lib.mutex);
  const Key key{static_cast<int64_t>(k.a.dtype) * 16 + static_cast<int64_t>(k.c.dtype),
                k.m,
                k.n,
                k.k,
                k.batch,
                k.transpose_a,
                k.transpose_b,
                (k.bias ? 1 : 0) + (takes_gelu(k) ? 2 : 0) + (takes_bias(k) ? 4 : 0),
                alignment_of(k.a.data),
                alignment_of(k.b.data),
                result_alignment(k),
                tf32_allowed()};
  auto found = lib.plans.find(key);
  if (found == lib.plans.end()) found = lib.plans.emplace(key, make_plan(lib, k)).first;
  const Plan& p = found->second;
  if (p.bias) set(p.op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_for(k, stream));
  if (p.gelu) set(p.op, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, k.c.data);
  const float one = 1, zero = 0;
  const size_t bytes = p.choice.workspaceSize;
  void* d = p.gelu ? k.gelu.data : k.c.data;
  GESTALT_CUDA_CHECK(cublasLtMatmul(lib.handle, p.op, &one, k.b.data, p.a, k.a.data, p.b, &zero, d, p.c, d, p.c,
                                    &p.choice.algo, library_workspace(bytes), bytes,
                                    static_cast<cudaStream_t>(stream.handle)));
  if (k.bias && !p.bias) run(AddRow{{k.c.data, k.c.dtype}, k.bias, k.c, k.batch * k.m, k.n}, stream);
  if (k.gelu && !p.gelu) run(gelu_of(k), stream);
}

}  // namespace gestalt::kernels::cuda
