// The emulated CUDA device forbids what a device forbids, delays and hurries what a device may, and errs as much.
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cudnn.h>

#include <bit>
#include <cmath>

#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/vector.cuh"
#include "tests/cuda_emulator/emulator.h"
#include "tests/kernels/cuda/emulator_test.h"

namespace gestalt::kernels::cuda {
namespace {

using emulator::Order;

// For the time of a test.
struct InOrder {
  explicit InOrder(Order order) : before(emulator::order()) { emulator::set_order(order, 3); }
  ~InOrder() { emulator::set_order(before); }
  Order before;
};

__global__ void both_kinds_of_shared_kernel() {
  GESTALT_DYNAMIC_SHARED(float, dynamic);
  GESTALT_SHARED(float, fixed, [4096]);
  fixed[threadIdx.x] = dynamic[threadIdx.x] = 1;
}

void launch_unasked(size_t dynamic_bytes) {
  cudaLaunchConfig_t config = {};
  config.dynamicSmemBytes = dynamic_bytes;
  config.stream = static_cast<cudaStream_t>(compute_stream().handle);
  GESTALT_CUDA_CHECK(cudaLaunchKernelEx(&config, both_kinds_of_shared_kernel));
  synchronize();
}

// Each lane reads another's place, then has the next values copied there; `broken` forgets to let all read first.
template <bool broken>
__global__ void overwrite_kernel(const float* x, float* y) {
  GESTALT_SHARED(float, tile, [32]);
  const int lane = threadIdx.x;
  tile[lane] = x[lane];
  __syncwarp();
  const float first = tile[31 - lane];
  if (!broken) __syncwarp();
  begin_copy<4>(&tile[lane], x + 32 + lane);
  commit_copies();
  __syncwarp();
  wait_copies<0>();
  __syncwarp();
  y[lane] = first;
  y[32 + lane] = tile[31 - lane];
}

template <class T, int N>
__global__ void pack_kernel(const T* x, T* y, int from, int to) {
  store_pack(y + to, load_pack<Pack<T, N>>(x + from));
}
__global__ void float4_kernel(const float* x, float* y) { *y = reinterpret_cast<const float4*>(x + 2)->w; }
__global__ void pair_kernel(const BFloat16* x, float* y) {
  *y = __low2float(*reinterpret_cast<const __nv_bfloat162*>(x + 1));
}

__global__ void add_one_kernel(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }
__global__ void exponentials_kernel(const float* x, float* y, int count) {
  for (int i = 0; i < count; ++i) y[i] = __expf(x[i]), y[count + i] = exp2_fast(x[i]);
}

// 1 plus the product of `small` and 1.
__global__ void sum_kernel(float small, float* y) {
  const uint32_t a[4] = {threadIdx.x % 4 == 0 ? std::bit_cast<uint32_t>(small) : 0, 0, 0, 0};
  const uint32_t b[2] = {threadIdx.x % 4 == 0 ? round_tf32(1) : 0, 0};
  float sum[4] = {1, 1, 1, 1};
  multiply_tf32(sum, a, b);
  if (threadIdx.x == 0) *y = sum[0];
}

// Whether cuBLASLt has an algorithm for (8, 8) × (8, columns) with a bias, and takes this one.
std::pair<bool, bool> biased_product(int columns, int bias_offset) {
  const DeviceArray<float> a(64), b(8 * 64), bias(64), c(8 * 64), workspace(1024);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t op;
  cublasLtMatrixLayout_t la, lb, lc;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t choice;
  int found = 0;
  cublasLtCreate(&handle);
  cublasLtMatmulDescCreate(&op, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  const auto epilogue = CUBLASLT_EPILOGUE_BIAS;
  const void* at = bias.get() + bias_offset;
  cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
  cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &at, sizeof(at));
  cublasLtMatrixLayoutCreate(&la, CUDA_R_32F, columns, 8, columns);
  cublasLtMatrixLayoutCreate(&lb, CUDA_R_32F, 8, 8, 8);
  cublasLtMatrixLayoutCreate(&lc, CUDA_R_32F, columns, 8, columns);
  cublasLtMatmulPreferenceCreate(&preference);
  const uint64_t bytes = 4096;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof(bytes));
  for (auto operand : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                       CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    const uint32_t alignment = 16;
    cublasLtMatmulPreferenceSetAttribute(preference, operand, &alignment, sizeof(alignment));
  }
  const cublasStatus_t had = cublasLtMatmulAlgoGetHeuristic(handle, op, la, lb, lc, lc, preference, 1, &choice, &found);
  if (had != CUBLAS_STATUS_SUCCESS || found == 0) return {false, false};
  const float one = 1, zero = 0;
  const cublasStatus_t status =
      cublasLtMatmul(handle, op, &one, b.get(), la, a.get(), lb, &zero, c.get(), lc, c.get(), lc, &choice.algo,
                     workspace.get(), choice.workspaceSize, static_cast<cudaStream_t>(compute_stream().handle));
  synchronize();
  return {true, status == CUBLAS_STATUS_SUCCESS};
}

// 1×1 pixel of one channel: x · 1 by cuDNN under a math mode.
float convolved(float x, cudnnMathType_t math) {
  const DeviceArray<float> dx(std::vector{x}), dw(std::vector{1.0f}), dy(1), workspace(1024);
  cudnnHandle_t handle;
  cudnnTensorDescriptor_t tensor;
  cudnnFilterDescriptor_t filter;
  cudnnConvolutionDescriptor_t conv;
  cudnnCreate(&handle), cudnnCreateTensorDescriptor(&tensor), cudnnCreateFilterDescriptor(&filter);
  cudnnCreateConvolutionDescriptor(&conv);
  cudnnSetStream(handle, static_cast<cudaStream_t>(compute_stream().handle));
  cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 1, 1);
  cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NHWC, 1, 1, 1, 1);
  cudnnSetConvolution2dDescriptor(conv, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
  cudnnSetConvolutionMathType(conv, math);
  const float one = 1, zero = 0;
  GESTALT_CUDA_CHECK(cudaDeviceSynchronize());
  const cudnnStatus_t status = cudnnConvolutionForward(handle, &one, tensor, dx.get(), filter, dw.get(), conv,
                                                       CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                                                       workspace.get(), 4096, &zero, tensor, dy.get());
  CHECK(status == CUDNN_STATUS_SUCCESS);
  return dy.host()[0];
}

}  // namespace

TEST_CASE("emulator: static and dynamic shared memory together stay within what the launch may have") {
  launch_unasked(32 << 10);
  check_fault([] { launch_unasked(40 << 10); },
              {"makes 57344 bytes of shared memory, 40960 of them dynamic; the launch may have 49152"});
  start(both_kinds_of_shared_kernel, 1, 1, 200 << 10);
  check_fault([] { start(both_kinds_of_shared_kernel, 1, 1, 220 << 10); }, {"the launch may have 232448"});
}

TEST_CASE("emulator: copies that land early and late show what overwrites what others still read") {
  const DeviceArray<float> x(ramp(64));
  const auto result = [&](auto* kernel, Order order) {
    const InOrder in_order(order);
    const DeviceArray<float> y(64);
    start(kernel, 1, 32, 0, x.get(), y.get());
    return y.host();
  };
  const std::vector<float> right = result(overwrite_kernel<false>, Order::forward);
  CHECK(right[0] == 31);
  CHECK(right[32] == 63);
  for (Order order : {Order::reverse, Order::random}) {
    CHECK(result(overwrite_kernel<false>, order) == right);
    CHECK(result(overwrite_kernel<true>, order) != right);
  }
}

TEST_CASE("emulator: misaligned accesses are reported with their place") {
  const DeviceArray<float> x(ramp(16)), y(16);
  start(pack_kernel<float, 4>, 1, 1, 0, x.get(), y.get(), 4, 8);
  CHECK(y.host()[9] == 5);
  check_fault([&] { start(pack_kernel<float, 4>, 1, 1, 0, x.get(), y.get(), 1, 0); },
              {"kernel planted", "misaligned", "multiples of 16", "vector.cuh"});
  check_fault([&] { start(pack_kernel<float, 2>, 1, 1, 0, x.get(), y.get(), 2, 3); }, {"misaligned", "multiples of 8"});
  check_fault([&] { start(float4_kernel, 1, 1, 0, x.get(), y.get()); }, {"misaligned", "float4"});
  const DeviceArray<BFloat16> narrow(8);
  check_fault([&] { start(pair_kernel, 1, 1, 0, narrow.get(), y.get()); }, {"misaligned", "multiples of 4"});
}

TEST_CASE("emulator: streams overtake each other where no event keeps them from it") {
  const auto result = [](Order order, bool waits) {
    const InOrder in_order(order);
    const DeviceArray<float> x(ramp(32)), y(32), z(32);
    synchronize();
    const Range range("planted");
    launch_kernel(add_one_kernel, 1, 32, 0, compute_stream(), x.get(), y.get());
    if (waits) wait(copy_stream(), compute_stream());
    launch_kernel(add_one_kernel, 1, 32, 0, copy_stream(), x.get(), x.get());  // while it may be read
    synchronize(compute_stream());
    std::vector<float> got = y.host();
    synchronize();
    return got;
  };
  const std::vector<float> right = result(Order::forward, true);
  CHECK(right[1] == 2);
  CHECK(result(Order::forward, false) == right);  // not seen
  CHECK(result(Order::reverse, true) == right);
  CHECK(result(Order::random, true) == right);
  CHECK(result(Order::reverse, false)[1] == 3);
}

TEST_CASE("emulator: host memory that is not page-locked may be read after a copy has returned") {
  const DeviceArray<float> x(4);
  const std::vector<float> values{1, 2, 3, 4};
  const auto copy_it = [&] {
    GESTALT_CUDA_CHECK(cudaMemcpyAsync(x.get(), values.data(), 16, cudaMemcpyHostToDevice,
                                       static_cast<cudaStream_t>(compute_stream().handle)));
  };
  check_fault(
      [&] {
        copy_it();
        start(add_one_kernel, 1, 4, 0, x.get(), x.get());
      },
      {"pageable memory", "wait for its stream"});
  copy_it();
  synchronize(compute_stream());
  start(add_one_kernel, 1, 4, 0, x.get(), x.get());
  CHECK(x.host()[3] == 5);
}

TEST_CASE("emulator: memory is free again only when work has passed, and allocating waits for that") {
  emulator::set_memory_limit(emulator::counters().bytes_in_use + (1 << 20));
  float* first = static_cast<float*>(device_allocate(700 << 10));
  REQUIRE(first != nullptr);
  start(add_one_kernel, 1, 32, 0, first, first);
  device_release(first);
  void* none = nullptr;
  CHECK(cudaMallocAsync(&none, 700 << 10, static_cast<cudaStream_t>(copy_stream().handle)) ==
        cudaErrorMemoryAllocation);
  cudaGetLastError();
  void* second = device_allocate(700 << 10);
  CHECK(second != nullptr);
  device_release(second);
  synchronize();
  emulator::set_memory_limit(size_t{16} << 30);
}

TEST_CASE("emulator: exponentials are off by a unit in the last place, sums of fragments are cut off") {
  std::vector<float> arguments;
  for (int i = -200; i <= 200; ++i) arguments.push_back(static_cast<float>(i) / 16);
  const int count = static_cast<int>(arguments.size());
  const DeviceArray<float> x(arguments), y(2 * arguments.size());
  start(exponentials_kernel, 1, 1, 0, x.get(), y.get(), count);
  const std::vector<float> got = y.host();
  int off = 0;
  for (int i = 0; i < count; ++i)
    for (const auto& [value, exact] :
         {std::pair{got[i], std::exp(arguments[i])}, {got[count + i], std::exp2(arguments[i])}}) {
      const int difference = std::bit_cast<int32_t>(value) - std::bit_cast<int32_t>(exact);
      CHECK(std::abs(difference) <= 1);
      off += difference != 0;
    }
  CHECK(off > count / 2);
  CHECK(got[200] == 1);
  const DeviceArray<float> sum(1);
  start(sum_kernel, 1, 32, 0, 0x1.8p-24f, sum.get());
  CHECK(sum.host()[0] == 1);  // to nearest it would be 1 + 2⁻²³
  start(sum_kernel, 1, 32, 0, 0x1.8p-23f, sum.get());
  CHECK(sum.host()[0] == 1 + 0x1p-23f);
}

TEST_CASE("emulator: cuBLASLt has no epilogue for odd columns and takes no misaligned bias") {
  CHECK(biased_product(16, 0) == std::pair{true, true});
  CHECK_FALSE(biased_product(17, 0).first);
  CHECK(biased_product(16, 1) == std::pair{true, false});
}

TEST_CASE("emulator: cuDNN rounds factors of f32 unless asked to be exact, and takes no tensor that is too large") {
  const float x = 1 + 0x1p-12f;
  CHECK(convolved(x, CUDNN_FMA_MATH) == x);
  CHECK(convolved(x, CUDNN_TENSOR_OP_MATH) == 1);
  cudnnTensorDescriptor_t tensor;
  cudnnCreateTensorDescriptor(&tensor);
  const auto refused = [&](int images) {
    return cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, images, 64, 112, 112) !=
           CUDNN_STATUS_SUCCESS;
  };
  CHECK_FALSE(refused(2674));
  CHECK(refused(2675));
}

}  // namespace gestalt::kernels::cuda
