// cuDNN's convolutions on the CPU: patches of the input as rows of a matrix, and a product.
#include <fmt/format.h>

#include <bit>

#include "tests/cuda_emulator/include/cudnn.h"
#include "tests/cuda_emulator/library.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  bool bf16 = false;
  int64_t n = 0, c = 0, h = 0, w = 0;
  size_t count() const { return static_cast<size_t>(n * c * h * w); }
};
struct cudnnFilterStruct {
  bool bf16 = false;
  int64_t k = 0, c = 0, h = 0, w = 0;
  size_t count() const { return static_cast<size_t>(k * c * h * w); }
};
struct cudnnConvolutionStruct {
  int64_t pad_h = 0, pad_w = 0, stride_h = 1, stride_w = 1;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

namespace emulator {
namespace {

int64_t most_elements = (int64_t{1} << 31) - 1;

struct Problem {
  cudnnTensorStruct x;
  cudnnFilterStruct w;
  cudnnConvolutionStruct conv;
  cudnnTensorStruct y;

  int64_t patch() const { return w.h * w.w * w.c; }
  int64_t positions() const { return y.n * y.h * y.w; }
  bool consistent() const {
    return x.n == y.n && x.c == w.c && y.c == w.k && y.h == (x.h + 2 * conv.pad_h - w.h) / conv.stride_h + 1 &&
           y.w == (x.w + 2 * conv.pad_w - w.w) / conv.stride_w + 1 && x.bf16 == w.bf16 && x.bf16 == y.bf16;
  }
};

// An operand as the math mode has it: of f32 that need not be exact, 10 bits of mantissa.
std::vector<float> operand(const Problem& p, const void* data, bool bf16, size_t count, const char* what) {
  std::vector<float> wide = widen(data, bf16, count, what);
  if (!bf16 && p.conv.math != CUDNN_FMA_MATH)
    for (float& v : wide) v = std::bit_cast<float>((std::bit_cast<uint32_t>(v) + 0x1000u) & 0xffffe000u);
  return wide;
}

// Calls f(offset in the patch matrix, offset in x) for each pixel (of c channels) that a patch shares with the image.
template <class F>
void for_each_pixel(const Problem& p, F&& f) {
  int64_t row = 0;
  for (int64_t n = 0; n < p.y.n; ++n)
    for (int64_t i = 0; i < p.y.h; ++i)
      for (int64_t j = 0; j < p.y.w; ++j, ++row)
        for (int64_t u = 0; u < p.w.h; ++u)
          for (int64_t v = 0; v < p.w.w; ++v) {
            const int64_t h = i * p.conv.stride_h + u - p.conv.pad_h, w = j * p.conv.stride_w + v - p.conv.pad_w;
            if (h < 0 || h >= p.x.h || w < 0 || w >= p.x.w) continue;
            f(row * p.patch() + (u * p.w.w + v) * p.x.c, ((n * p.x.h + h) * p.x.w + w) * p.x.c);
          }
}

std::vector<float> patches_of(const Problem& p, const std::vector<float>& x) {
  std::vector<float> patches(static_cast<size_t>(p.positions() * p.patch()));
  for_each_pixel(p, [&](int64_t to, int64_t from) {
    for (int64_t c = 0; c < p.x.c; ++c) patches[static_cast<size_t>(to + c)] = x[static_cast<size_t>(from + c)];
  });
  return patches;
}

cudnnStatus_t start(cudnnHandle_t handle, const Problem& p, int algorithm, void* workspace, size_t bytes,
                    const void* alpha, const void* beta, std::function<void()> run) {
  if (algorithm == 0) return CUDNN_STATUS_NOT_SUPPORTED;  // though it was named as able
  if (!p.consistent() || algorithm != 1 || bytes < library_workspace) return CUDNN_STATUS_BAD_PARAM;
  if (*static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0)
    return CUDNN_STATUS_NOT_SUPPORTED;
  enqueue(handle->stream, "convolution", [=] {
    check_range(workspace, bytes, "cuDNN's workspace");
    std::memset(workspace, 0xFF, bytes);
    run();
  });
  return CUDNN_STATUS_SUCCESS;
}

// The first choice is refused, the second is not deterministic, the third refuses when it is called, and the fourth
// asks for more memory than there is, so that a caller who does not look is found out.
template <class Performance>
cudnnStatus_t choices(const Problem& p, int wanted, int* found, Performance* results) {
  *found = 0;
  if (!p.consistent() || wanted < 1) return CUDNN_STATUS_BAD_PARAM;
  auto add = [&](int algorithm, cudnnStatus_t status, cudnnDeterminism_t determinism,
                 size_t memory = library_workspace) {
    if (*found == wanted) return;
    results[*found] = {};
    results[*found].algo = static_cast<decltype(results->algo)>(algorithm);
    results[*found].status = status;
    results[*found].memory = memory;
    results[*found].determinism = determinism;
    results[*found].mathType = CUDNN_DEFAULT_MATH;
    ++*found;
  };
  add(0, CUDNN_STATUS_NOT_SUPPORTED, CUDNN_DETERMINISTIC);
  add(0, CUDNN_STATUS_SUCCESS, CUDNN_NON_DETERMINISTIC);
  add(0, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC);
  add(1, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC, size_t{1} << 44);
  add(1, CUDNN_STATUS_SUCCESS, CUDNN_DETERMINISTIC);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

void set_tensor_limit(int64_t elements) { most_elements = elements; }

}  // namespace emulator

using emulator::narrow;
using emulator::operand;
using emulator::Problem;

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
  }
  return "an unknown status";
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) { return *handle = new cudnnContext, CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { return delete handle, CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return handle->stream = stream, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* d) {
  return *d = new cudnnTensorStruct, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d) { return delete d, CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format, cudnnDataType_t type,
                                         int n, int c, int h, int w) {
  if (format != CUDNN_TENSOR_NHWC) return CUDNN_STATUS_NOT_SUPPORTED;
  if (n < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  if (int64_t{n} * c * h * w > emulator::most_elements) return CUDNN_STATUS_NOT_SUPPORTED;
  *d = {type == CUDNN_DATA_BFLOAT16, n, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* d) {
  return *d = new cudnnFilterStruct, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d) { return delete d, CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t format,
                                         int k, int c, int h, int w) {
  if (format != CUDNN_TENSOR_NHWC) return CUDNN_STATUS_NOT_SUPPORTED;
  if (k < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  *d = {type == CUDNN_DATA_BFLOAT16, k, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* d) {
  return *d = new cudnnConvolutionStruct, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d) {
  return delete d, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int pad_h, int pad_w, int stride_h,
                                              int stride_w, int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute) {
  if (dilation_h != 1 || dilation_w != 1 || mode != CUDNN_CROSS_CORRELATION || compute != CUDNN_DATA_FLOAT)
    return CUDNN_STATUS_NOT_SUPPORTED;
  *d = {pad_h, pad_w, stride_h, stride_w, d->math};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t math) {
  return d->math = math, CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                     cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t conv,
                                                     cudnnTensorDescriptor_t y, int wanted, int* found,
                                                     cudnnConvolutionFwdAlgoPerf_t* results) {
  return emulator::choices(Problem{*x, *w, *conv, *y}, wanted, found, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                          cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t conv,
                                                          cudnnTensorDescriptor_t dx, int wanted, int* found,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* results) {
  return emulator::choices(Problem{*dx, *w, *conv, *dy}, wanted, found, results);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                            cudnnTensorDescriptor_t dy,
                                                            cudnnConvolutionDescriptor_t conv,
                                                            cudnnFilterDescriptor_t dw, int wanted, int* found,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* results) {
  return emulator::choices(Problem{*x, *dw, *conv, *dy}, wanted, found, results);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t x_desc,
                                      const void* x, cudnnFilterDescriptor_t w_desc, const void* w,
                                      cudnnConvolutionDescriptor_t conv, cudnnConvolutionFwdAlgo_t algorithm,
                                      void* workspace, size_t bytes, const void* beta, cudnnTensorDescriptor_t y_desc,
                                      void* y) {
  const Problem p{*x_desc, *w_desc, *conv, *y_desc};
  return emulator::start(handle, p, algorithm, workspace, bytes, alpha, beta, [=] {
    const auto patches = patches_of(p, operand(p, x, p.x.bf16, p.x.count(), "convolution's x"));
    const auto filters = operand(p, w, p.w.bf16, p.w.count(), "convolution's w");
    std::vector<float> result(p.y.count());
    emulator::multiply(false, true, p.positions(), p.w.k, p.patch(), 1, patches.data(), p.patch(), filters.data(),
                       p.patch(), 0, result.data(), p.w.k);
    narrow(result, y, p.y.bf16, "convolution's y");
  });
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t w_desc,
                                           const void* w, cudnnTensorDescriptor_t dy_desc, const void* dy,
                                           cudnnConvolutionDescriptor_t conv, cudnnConvolutionBwdDataAlgo_t algorithm,
                                           void* workspace, size_t bytes, const void* beta,
                                           cudnnTensorDescriptor_t dx_desc, void* dx) {
  const Problem p{*dx_desc, *w_desc, *conv, *dy_desc};
  return emulator::start(handle, p, algorithm, workspace, bytes, alpha, beta, [=] {
    const auto gradient = operand(p, dy, p.y.bf16, p.y.count(), "convolution's dy");
    const auto filters = operand(p, w, p.w.bf16, p.w.count(), "convolution's w");
    std::vector<float> patches(static_cast<size_t>(p.positions() * p.patch())), result(p.x.count());
    emulator::multiply(false, false, p.positions(), p.patch(), p.w.k, 1, gradient.data(), p.w.k, filters.data(),
                       p.patch(), 0, patches.data(), p.patch());
    for_each_pixel(p, [&](int64_t from, int64_t to) {
      for (int64_t c = 0; c < p.x.c; ++c) result[static_cast<size_t>(to + c)] += patches[static_cast<size_t>(from + c)];
    });
    narrow(result, dx, p.x.bf16, "convolution's dx");
  });
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t x_desc,
                                             const void* x, cudnnTensorDescriptor_t dy_desc, const void* dy,
                                             cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace, size_t bytes,
                                             const void* beta, cudnnFilterDescriptor_t dw_desc, void* dw) {
  const Problem p{*x_desc, *dw_desc, *conv, *dy_desc};
  return emulator::start(handle, p, algorithm, workspace, bytes, alpha, beta, [=] {
    const auto patches = patches_of(p, operand(p, x, p.x.bf16, p.x.count(), "convolution's x"));
    const auto gradient = operand(p, dy, p.y.bf16, p.y.count(), "convolution's dy");
    std::vector<float> result(p.w.count());
    emulator::multiply(true, false, p.w.k, p.patch(), p.positions(), 1, gradient.data(), p.w.k, patches.data(),
                       p.patch(), 0, result.data(), p.patch());
    narrow(result, dw, p.w.bf16, "convolution's dw");
  });
}
