// Two-dimensional convolution on CUDA by cuDNN, NHWC, by the fastest deterministic algorithm that turns out to run.
#include "kernels/conv.h"

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/cuda/library.cuh"
#include "kernels/elementwise.h"

namespace gestalt::kernels::cuda {
namespace {

constexpr int most_choices = 10;

enum Pass { forward, backward_input, backward_weights };

struct Choice {
  int algorithm;
  size_t workspace;
  cudnnMathType_t math;
};

// How a shape is convolved. What cuDNN names as able may still refuse when it is called: the first of the choices is
// the one in use once it has run, and those before it are in `refused`.
struct Plan {
  cudnnTensorDescriptor_t x, y;
  cudnnFilterDescriptor_t w;
  cudnnConvolutionDescriptor_t conv;
  bool exact;
  std::vector<Choice> choices;  // deterministic ones, the fastest by cuDNN's estimate first
  bool proven = false;
  std::string refused;
};

using Key = std::array<int64_t, 12>;

struct Library {
  cudnnHandle_t handle;
  std::mutex mutex;
  std::map<Key, Plan> plans;

  Library() { GESTALT_CUDA_CHECK(cudnnCreate(&handle)); }
};

Library& library() {
  static Library* l = new Library;
  return *l;
}

cudnnDataType_t type(DType dtype) {
  check(dtype == DType::f32 || dtype == DType::bf16, "[conv2d] got {}, expected f32 or bf16; f64 runs on --device cpu",
        name(dtype));
  return dtype == DType::f32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

Plan describe(const ConvShape& s, DType dtype) {
  Plan p{};
  auto i = [](int64_t v) { return static_cast<int>(v); };
  GESTALT_CUDA_CHECK(cudnnCreateTensorDescriptor(&p.x));
  GESTALT_CUDA_CHECK(cudnnCreateTensorDescriptor(&p.y));
  GESTALT_CUDA_CHECK(cudnnCreateFilterDescriptor(&p.w));
  GESTALT_CUDA_CHECK(cudnnCreateConvolutionDescriptor(&p.conv));
  GESTALT_CUDA_CHECK(cudnnSetTensor4dDescriptor(p.x, CUDNN_TENSOR_NHWC, type(dtype), i(s.batch), i(s.in_channels),
                                                i(s.height), i(s.width)));
  GESTALT_CUDA_CHECK(cudnnSetTensor4dDescriptor(p.y, CUDNN_TENSOR_NHWC, type(dtype), i(s.batch), i(s.out_channels),
                                                i(s.out_height()), i(s.out_width())));
  GESTALT_CUDA_CHECK(cudnnSetFilter4dDescriptor(p.w, type(dtype), CUDNN_TENSOR_NHWC, i(s.out_channels),
                                                i(s.in_channels), i(s.kernel_height), i(s.kernel_width)));
  GESTALT_CUDA_CHECK(cudnnSetConvolution2dDescriptor(p.conv, i(s.padding), i(s.padding), i(s.stride), i(s.stride), 1, 1,
                                                     CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  p.exact = dtype == DType::f32 && !tf32_allowed();
  GESTALT_CUDA_CHECK(cudnnSetConvolutionMathType(p.conv, p.exact ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH));
  return p;
}

// Fills the plan's choices from cuDNN's answer. What was asked to be exact stays so whatever a choice prefers.
template <class Performance, class Ask>
void choose(Plan& p, Ask&& ask) {
  std::array<Performance, most_choices> choices;
  int found = 0;
  GESTALT_CUDA_CHECK(ask(most_choices, &found, choices.data()));
  for (int i = 0; i < found; ++i)
    if (choices[i].status == CUDNN_STATUS_SUCCESS && choices[i].determinism == CUDNN_DETERMINISTIC)
      p.choices.push_back(
          {static_cast<int>(choices[i].algo), choices[i].memory, p.exact ? CUDNN_FMA_MATH : choices[i].mathType});
}

// Calls call(choice, workspace) with the first choice that runs; `more` bytes of the workspace are behind the choice's.
template <class Call>
void execute(Plan& p, const char* kernel, const ConvShape& s, size_t more, Call&& call) {
  while (!p.choices.empty()) {
    const Choice& choice = p.choices.front();
    GESTALT_CUDA_CHECK(cudnnSetConvolutionMathType(p.conv, choice.math));
    const cudnnStatus_t status = call(choice, static_cast<char*>(library_workspace(choice.workspace + more)));
    if (status == CUDNN_STATUS_SUCCESS) {
      p.proven = true;
      return;
    }
    if (p.proven) GESTALT_CUDA_CHECK(status);  // it has run before: no matter of what it supports
    p.refused +=
        fmt::format("{}algorithm {}: {}", p.refused.empty() ? "" : ", ", choice.algorithm, cudnnGetErrorString(status));
    p.choices.erase(p.choices.begin());
  }
  fail(
      "[{}] cuDNN has no deterministic algorithm that runs for x ({}, {}, {}, {}) and w ({}, {}, {}, {}); refused: {}; "
      "try --dtype f32 or --device cpu",
      kernel, s.batch, s.height, s.width, s.in_channels, s.out_channels, s.kernel_height, s.kernel_width, s.in_channels,
      p.refused.empty() ? "none was named" : p.refused);
}

// The plan for a pass. The caller holds the library's mutex.
Plan& plan_for(Library& lib, Pass pass, const ConvShape& s, DType dtype) {
  const Key key{pass,           static_cast<int64_t>(dtype),
                s.batch,        s.height,
                s.width,        s.in_channels,
                s.out_channels, s.kernel_height,
                s.kernel_width, s.stride,
                s.padding,      tf32_allowed()};
  const auto found = lib.plans.find(key);
  if (found != lib.plans.end()) return found->second;
  Plan p = describe(s, dtype);
  if (pass == forward)
    choose<cudnnConvolutionFwdAlgoPerf_t>(p, [&](auto... rest) {
      return cudnnGetConvolutionForwardAlgorithm_v7(lib.handle, p.x, p.w, p.conv, p.y, rest...);
    });
  else if (pass == backward_input)
    choose<cudnnConvolutionBwdDataAlgoPerf_t>(p, [&](auto... rest) {
      return cudnnGetConvolutionBackwardDataAlgorithm_v7(lib.handle, p.w, p.y, p.conv, p.x, rest...);
    });
  else
    choose<cudnnConvolutionBwdFilterAlgoPerf_t>(p, [&](auto... rest) {
      return cudnnGetConvolutionBackwardFilterAlgorithm_v7(lib.handle, p.x, p.y, p.conv, p.w, rest...);
    });
  return lib.plans.emplace(key, p).first->second;
}

constexpr float one = 1, zero = 0;

}  // namespace

void run(const Conv& k, Stream stream) {
  Library& lib = library();
  const std::lock_guard lock(lib.mutex);
  Plan& p = plan_for(lib, forward, k.shape, k.x.dtype);
  GESTALT_CUDA_CHECK(cudnnSetStream(lib.handle, static_cast<cudaStream_t>(stream.handle)));
  execute(p, "Conv", k.shape, 0, [&](const Choice& choice, char* workspace) {
    return cudnnConvolutionForward(lib.handle, &one, p.x, k.x.data, p.w, k.w.data, p.conv,
                                   static_cast<cudnnConvolutionFwdAlgo_t>(choice.algorithm), workspace,
                                   choice.workspace, &zero, p.y, k.y.data);
  });
}

void run(const ConvBackwardInput& k, Stream stream) {
  Library& lib = library();
  const std::lock_guard lock(lib.mutex);
  Plan& p = plan_for(lib, backward_input, k.shape, k.dy.dtype);
  GESTALT_CUDA_CHECK(cudnnSetStream(lib.handle, static_cast<cudaStream_t>(stream.handle)));
  execute(p, "ConvBackwardInput", k.shape, 0, [&](const Choice& choice, char* workspace) {
    return cudnnConvolutionBackwardData(lib.handle, &one, p.w, k.w.data, p.y, k.dy.data, p.conv,
                                        static_cast<cudnnConvolutionBwdDataAlgo_t>(choice.algorithm), workspace,
                                        choice.workspace, &zero, p.x, k.dx.data);
  });
}

void run(const ConvBackwardWeights& k, Stream stream) {
  Library& lib = library();
  const std::lock_guard lock(lib.mutex);
  const ConvShape& s = k.shape;
  Plan& p = plan_for(lib, backward_weights, s, k.x.dtype);
  // cuDNN's dw has x's dtype; ours is f32. A bf16 one lies behind cuDNN's own workspace until it is converted.
  const bool narrow = k.x.dtype != k.dw.dtype;
  const int64_t count = s.out_channels * s.kernel_height * s.kernel_width * s.in_channels;
  const size_t more = narrow ? 256 + count * size_of(k.x.dtype) : 0;
  void* dw = k.dw.data;
  GESTALT_CUDA_CHECK(cudnnSetStream(lib.handle, static_cast<cudaStream_t>(stream.handle)));
  execute(p, "ConvBackwardWeights", s, more, [&](const Choice& choice, char* workspace) {
    if (narrow) dw = workspace + (choice.workspace + 255) / 256 * 256;
    return cudnnConvolutionBackwardFilter(lib.handle, &one, p.x, k.x.data, p.y, k.dy.data, p.conv,
                                          static_cast<cudnnConvolutionBwdFilterAlgo_t>(choice.algorithm), workspace,
                                          choice.workspace, &zero, p.w, dw);
  });
  if (narrow) run(Convert{{dw, k.x.dtype}, k.dw, count}, stream);
}

}  // namespace gestalt::kernels::cuda
