// Two-dimensional convolution on CUDA by cuDNN, NHWC, by the deterministic algorithm that it takes for the fastest and
// that turns out to run.
#include "kernels/conv.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/cuda/library.cuh"
#include "kernels/elementwise.h"
#include "kernels/product.h"

namespace gestalt::kernels::cuda {
namespace {

constexpr int most_choices = 10;
constexpr size_t most_workspace = size_t{2} << 30;  // a choice that asks for more is the last to be tried

enum Pass { forward, backward_input, backward_weights };

struct Choice {
  int algorithm;
  size_t workspace;
  cudnnMathType_t math;
};

// How a shape is convolved. What cuDNN names as able may still refuse when it is called: the first of the choices is
// the one in use once it has run, and those before it are in `refused`.
struct Plan {
  int64_t images;  // at once: cuDNN takes no tensors of 2³¹ elements
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

cudnnStatus_t set_tensor(cudnnTensorDescriptor_t d, DType dtype, int64_t n, int64_t c, int64_t h, int64_t w) {
  if (n * c * h * w > INT32_MAX) return CUDNN_STATUS_NOT_SUPPORTED;
  auto i = [](int64_t v) { return static_cast<int>(v); };
  return cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, type(dtype), i(n), i(c), i(h), i(w));
}

Plan describe(const ConvShape& s, DType dtype) {
  Plan p{};
  auto i = [](int64_t v) { return static_cast<int>(v); };
  GESTALT_CUDA_CHECK(cudnnCreateTensorDescriptor(&p.x));
  GESTALT_CUDA_CHECK(cudnnCreateTensorDescriptor(&p.y));
  GESTALT_CUDA_CHECK(cudnnCreateFilterDescriptor(&p.w));
  GESTALT_CUDA_CHECK(cudnnCreateConvolutionDescriptor(&p.conv));
  for (p.images = s.batch;; p.images = divide_up(p.images, 2)) {
    cudnnStatus_t status = set_tensor(p.x, dtype, p.images, s.in_channels, s.height, s.width);
    if (status == CUDNN_STATUS_SUCCESS)
      status = set_tensor(p.y, dtype, p.images, s.out_channels, s.out_height(), s.out_width());
    if (status == CUDNN_STATUS_SUCCESS) break;
    if (p.images <= 1) GESTALT_CUDA_CHECK(status);
  }
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
  std::stable_partition(p.choices.begin(), p.choices.end(),
                        [](const Choice& c) { return c.workspace <= most_workspace; });
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

// Calls part(plan, first, shape) for images from `first` on, as many as cuDNN takes at once.
template <class Part>
void in_parts(Pass pass, const ConvShape& s, DType dtype, Stream stream, Part&& part) {
  Library& lib = library();
  const std::lock_guard lock(lib.mutex);
  GESTALT_CUDA_CHECK(cudnnSetStream(lib.handle, static_cast<cudaStream_t>(stream.handle)));
  ConvShape rest = s;
  for (int64_t first = 0; first < s.batch; rest.batch = s.batch - first) {
    Plan& p = plan_for(lib, pass, rest, dtype);
    part(lib.handle, p, first);
    first += p.images;
  }
}

int64_t input_elements(const ConvShape& s) { return s.height * s.width * s.in_channels; }  // of an image
int64_t output_elements(const ConvShape& s) { return s.out_height() * s.out_width() * s.out_channels; }

// Whether it is a product of pixels' channels, whose gradient of the weights cuBLASLt sums into f32, as cuDNN does not.
bool is_product(const ConvShape& s) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.stride == 1 && s.padding == 0;
}

}  // namespace

void run(const Conv& k, Stream stream) {
  const ConvShape& s = k.shape;
  in_parts(forward, s, k.x.dtype, stream, [&](cudnnHandle_t handle, Plan& p, int64_t first) {
    const In x = k.x.from(first * input_elements(s));
    const Out y = k.y.from(first * output_elements(s));
    execute(p, "Conv", s, 0, [&](const Choice& choice, char* workspace) {
      return cudnnConvolutionForward(handle, &one, p.x, x.data, p.w, k.w.data, p.conv,
                                     static_cast<cudnnConvolutionFwdAlgo_t>(choice.algorithm), workspace,
                                     choice.workspace, &zero, p.y, y.data);
    });
  });
}

void run(const ConvBackwardInput& k, Stream stream) {
  const ConvShape& s = k.shape;
  in_parts(backward_input, s, k.dy.dtype, stream, [&](cudnnHandle_t handle, Plan& p, int64_t first) {
    const In dy = k.dy.from(first * output_elements(s));
    const Out dx = k.dx.from(first * input_elements(s));
    execute(p, "ConvBackwardInput", s, 0, [&](const Choice& choice, char* workspace) {
      return cudnnConvolutionBackwardData(handle, &one, p.w, k.w.data, p.y, dy.data, p.conv,
                                          static_cast<cudnnConvolutionBwdDataAlgo_t>(choice.algorithm), workspace,
                                          choice.workspace, &zero, p.x, dx.data);
    });
  });
}

void run(const ConvBackwardWeights& k, Stream stream) {
  const ConvShape& s = k.shape;
  // cuDNN's dw has x's dtype; ours is f32.
  const bool narrow = k.x.dtype != k.dw.dtype;
  if (narrow && is_product(s))
    return run(Product{.a = k.dy,
                       .b = k.x,
                       .c = k.dw,
                       .m = s.out_channels,
                       .n = s.in_channels,
                       .k = s.batch * s.height * s.width,
                       .transpose_a = true},
               stream);
  const int64_t count = s.out_channels * s.kernel_height * s.kernel_width * s.in_channels;
  in_parts(backward_weights, s, k.x.dtype, stream, [&](cudnnHandle_t handle, Plan& p, int64_t first) {
    // A bf16 one, and that of a later part, lie behind cuDNN's own workspace until they are converted or added.
    const bool apart = narrow || first > 0;
    const In x = k.x.from(first * input_elements(s)), dy = k.dy.from(first * output_elements(s));
    void* dw = k.dw.data;
    execute(p, "ConvBackwardWeights", s, apart ? 256 + count * size_of(x.dtype) : 0,
            [&](const Choice& choice, char* workspace) {
              if (apart) dw = workspace + (choice.workspace + 255) / 256 * 256;
              return cudnnConvolutionBackwardFilter(handle, &one, p.x, x.data, p.y, dy.data, p.conv,
                                                    static_cast<cudnnConvolutionBwdFilterAlgo_t>(choice.algorithm),
                                                    workspace, choice.workspace, &zero, p.w, dw);
            });
    const In part{dw, x.dtype}, before{k.dw.data, k.dw.dtype};
    if (first > 0)
      run(Combine{.a = before, .b = part, .y = k.dw, .a_scale = 1, .b_scale = 1, .count = count}, stream);
    else if (narrow)
      run(Convert{part, k.dw, count}, stream);
  });
}

}  // namespace gestalt::kernels::cuda
