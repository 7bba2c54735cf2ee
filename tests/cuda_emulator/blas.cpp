// cuBLASLt on the CPU, by oneDNN's sgemm.
#include <dnnl.h>
#include <fmt/format.h>

#include <cmath>

#include "tests/cuda_emulator/include/cublasLt.h"
#include "tests/cuda_emulator/library.h"

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  void* aux = nullptr;  // takes what a GELU is taken of, columns aux_leading apart
  int64_t aux_leading = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  int64_t rows, columns, leading;
  int32_t batch = 1;
  int64_t stride = 0;

  size_t extent() const { return static_cast<size_t>((batch - 1) * stride + (columns - 1) * leading + rows); }
  bool bf16() const { return type == CUDA_R_16BF; }
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};
};

namespace emulator {

void multiply(bool transpose_a, bool transpose_b, int64_t rows, int64_t columns, int64_t inner, float alpha,
              const float* a, int64_t a_leading, const float* b, int64_t b_leading, float beta, float* c,
              int64_t c_leading) {
  const dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', rows, columns, inner, alpha,
                                          a, a_leading, b, b_leading, beta, c, c_leading);
  if (status != dnnl_success) fault(fmt::format("sgemm failed with {}", static_cast<int>(status)));
}

namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

float gelu_tanh(float x) { return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x))); }

// The alignment that the algorithm was chosen for is kept in it.
constexpr uint64_t algorithm_mark = 0x676573746c74u;

// The epilogues are sums of these.
constexpr int bias_bit = 4, gelu_bit = 32, aux_bit = 128;
bool takes_bias(cublasLtEpilogue_t e) { return e & bias_bit; }
bool takes_gelu(cublasLtEpilogue_t e) { return e & gelu_bit; }
bool takes_aux(cublasLtEpilogue_t e) { return e & aux_bit; }

// As the device asks: whole 16 bytes, columns that hold a whole one of the result.
bool aux_is_right(const cublasLtMatmulDescOpaque_t& op, const Layout& d) {
  return !takes_aux(op.epilogue) || (op.aux && reinterpret_cast<uintptr_t>(op.aux) % 16 == 0 && d.batch == 1 &&
                                     op.aux_leading % 8 == 0 && op.aux_leading >= d.rows);
}

void apply_epilogue(const cublasLtMatmulDescOpaque_t& op, const Layout& d, std::vector<float>& result) {
  std::vector<float> bias;
  if (takes_bias(op.epilogue)) bias = widen(op.bias, d.bf16(), static_cast<size_t>(d.rows), "cublasLtMatmul's bias");
  for (int32_t batch = 0; batch < d.batch; ++batch)
    for (int64_t j = 0; j < d.columns; ++j)
      for (int64_t i = 0; i < d.rows; ++i) {
        float& v = result[static_cast<size_t>(batch * d.stride + j * d.leading + i)];
        if (!bias.empty()) v += bias[static_cast<size_t>(i)];
      }
  if (takes_aux(op.epilogue)) {
    if (op.aux_leading != d.leading) fault("cublasLtMatmul's aux has columns that are further apart than the result's");
    narrow(result, op.aux, d.bf16(), "cublasLtMatmul's aux");
  }
  if (takes_gelu(op.epilogue))
    for (float& v : result) v = gelu_tanh(v);
}

bool shapes_agree(const cublasLtMatmulDescOpaque_t& op, const Layout& a, const Layout& b, const Layout& c,
                  const Layout& d) {
  const int64_t m = op.a == CUBLAS_OP_N ? a.rows : a.columns, k = op.a == CUBLAS_OP_N ? a.columns : a.rows;
  const int64_t kb = op.b == CUBLAS_OP_N ? b.rows : b.columns, n = op.b == CUBLAS_OP_N ? b.columns : b.rows;
  return k == kb && d.rows == m && d.columns == n && c.rows == m && c.columns == n && a.batch == d.batch &&
         b.batch == d.batch && a.type == b.type && c.type == d.type && a.leading >= a.rows && b.leading >= b.rows &&
         d.leading >= d.rows;
}

}  // namespace
}  // namespace emulator

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "an unknown status";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return *handle = new cublasLtContext, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return delete handle, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t, cudaDataType_t scale) {
  *desc = new cublasLtMatmulDescOpaque_t;
  return scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) { return delete desc, CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  auto set = [&](auto& field) {
    if (bytes != sizeof(field)) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(desc->a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(desc->b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(desc->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(desc->bias);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set(desc->aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set(desc->aux_leading);
  }
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return delete layout, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  const bool count = attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
  if (bytes != (count ? sizeof(layout->batch) : sizeof(layout->stride))) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(count ? static_cast<void*>(&layout->batch) : &layout->stride, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return *preference = new cublasLtMatmulPreferenceOpaque_t, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return delete preference, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    if (bytes != sizeof(preference->workspace)) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&preference->workspace, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
  if (bytes != sizeof(uint32_t)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
                                              int wanted, cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = 0;
  if (wanted < 1 || !emulator::shapes_agree(*op, *a, *b, *c, *d)) return CUBLAS_STATUS_INVALID_VALUE;
  // No epilogue for columns that are no whole 16 bytes, which some versions have and some do not.
  if (op->epilogue != CUBLASLT_EPILOGUE_DEFAULT && d->leading * (d->bf16() ? 2 : 4) % 16 != 0)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  // As on the device, a bias is of the result's dtype and an f32 product has no bf16 result.
  if (a->type == CUDA_R_32F && d->type == CUDA_R_16BF) return CUBLAS_STATUS_NOT_SUPPORTED;
  results[0] = {};
  results[0].algo.data[0] = emulator::algorithm_mark;
  for (int i = 0; i < 4; ++i) results[0].algo.data[i + 1] = preference->alignment[i];
  results[0].workspaceSize = std::min<size_t>(preference->workspace, emulator::library_workspace);
  results[0].algo.data[5] = results[0].workspaceSize;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t op, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  using emulator::widen;
  if (!emulator::shapes_agree(*op, *a_layout, *b_layout, *c_layout, *d_layout) || c != d)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!algorithm || algorithm->data[0] != emulator::algorithm_mark || workspace_bytes < algorithm->data[5])
    return CUBLAS_STATUS_INVALID_VALUE;
  const void* pointers[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (reinterpret_cast<uintptr_t>(pointers[i]) % algorithm->data[i + 1] != 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (emulator::takes_bias(op->epilogue) && (!op->bias || reinterpret_cast<uintptr_t>(op->bias) % 16 != 0))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!emulator::aux_is_right(*op, *d_layout)) return CUBLAS_STATUS_INVALID_VALUE;
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  const auto desc = *op;
  const auto la = *a_layout, lb = *b_layout, ld = *d_layout;
  emulator::enqueue(stream, "cublasLtMatmul", [=] {
    emulator::check_range(workspace, workspace_bytes, "cublasLtMatmul's workspace");
    std::memset(workspace, 0xFF, workspace_bytes);
    const std::vector<float> x = widen(a, la.bf16(), la.extent(), "cublasLtMatmul's a");
    const std::vector<float> y = widen(b, lb.bf16(), lb.extent(), "cublasLtMatmul's b");
    std::vector<float> z(ld.extent());
    if (keep != 0) z = widen(d, ld.bf16(), ld.extent(), "cublasLtMatmul's c");
    const int64_t inner = desc.a == CUBLAS_OP_N ? la.columns : la.rows;
    // Column-major d = a_op · b_op is row-major dᵀ = b_opᵀ · a_opᵀ.
    for (int32_t i = 0; i < ld.batch; ++i)
      emulator::multiply(desc.b == CUBLAS_OP_T, desc.a == CUBLAS_OP_T, ld.columns, ld.rows, inner, scale,
                         y.data() + i * lb.stride, lb.leading, x.data() + i * la.stride, la.leading, keep,
                         z.data() + i * ld.stride, ld.leading);
    emulator::apply_epilogue(desc, ld, z);
    emulator::narrow(z, d, ld.bf16(), "cublasLtMatmul's d");
  });
  return CUBLAS_STATUS_SUCCESS;
}
