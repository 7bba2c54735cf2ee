// Checks what the augmentation kernel is given, and launches it.
#include "engine/data/images/augment.h"

#include <algorithm>
#include <vector>

#include "kernels/augment_formulas.h"

namespace gestalt {
namespace {

using kernels::Augment;
using kernels::AugmentDraw;
using kernels::AugmentParameters;
using kernels::ColorOp;
using kernels::Frame;
using kernels::Range;

void check_probability(const char* what, double p) {
  check(p >= 0 && p <= 1, "[augment] got {} {}, expected a probability in [0, 1]", what, p);
}

void check_range(const char* what, Range r, double low, double high) {
  check(r.low >= low && r.low <= r.high && r.high <= high, "[augment] got {} of {} to {}, expected a range in [{}, {}]",
        what, r.low, r.high, low, high);
}

void check_parameters(const AugmentParameters& p) {
  constexpr double many = 1e4;
  check(p.crop_fraction > 0 && p.crop_fraction <= 1, "[augment] got crop fraction {}, expected one in (0, 1]",
        p.crop_fraction);
  check_range("crop-min to crop-max", p.crop_area, 1e-6, 1);
  check_range("crop ratio", p.crop_ratio, 1e-3, 1e3);
  check_probability("flip", p.flip);
  check_probability("jitter", p.jitter);
  check_probability("grayscale", p.grayscale);
  check_probability("blur", p.blur);
  check_probability("solarize", p.solarize);
  check_range("brightness", p.brightness, 0, many);
  check_range("contrast", p.contrast, 0, many);
  check_range("saturation", p.saturation, 0, many);
  check_range("hue", p.hue, -0.5, 0.5);
  check_range("blur-min to blur-max", p.blur_sigma, 1e-2, many);
  check(p.blur_kernel >= 0 && (p.blur_kernel == 0 || p.blur_kernel % 2 == 1),
        "[augment] got a blur of {} taps, expected an odd number, or 0 for a tenth of the size", p.blur_kernel);
  check(p.solarize_threshold >= 0 && p.solarize_threshold <= 1,
        "[augment] got solarize threshold {}, expected one in [0, 1]", p.solarize_threshold);
  for (int c = 0; c < 3; ++c)
    check(p.std[c] > 0, "[augment] got standard deviation {} for channel {}, expected one above 0", p.std[c], c);
}

void check_input(const Tensor& pixels, std::span<const Frame> frames, std::span<const AugmentParameters> views,
                 int64_t size, DType dtype) {
  check(pixels.dtype() == DType::u8, "[augment] got pixels of {}, expected u8", name(pixels.dtype()));
  check(dtype == DType::f32 || dtype == DType::bf16, "[augment] got dtype {}, expected f32 or bf16", name(dtype));
  check(size > 0 && size <= 16384, "[augment] got views of {} pixels, expected 1 to 16384", size);
  check(!views.empty(), "[augment] got no views, expected at least one");
  for (const AugmentParameters& p : views) check_parameters(p);
  for (size_t i = 0; i < frames.size(); ++i) {
    const Frame& f = frames[i];
    check(f.height > 0 && f.width > 0, "[augment] got image {} of {}x{} pixels, expected at least 1x1", i, f.height,
          f.width);
    const int64_t bytes = int64_t{f.height} * f.width * 3;
    check(f.offset >= 0 && bytes <= pixels.count() && f.offset <= pixels.count() - bytes,
          "[augment] got image {} at bytes {} to {}, expected it inside the {} bytes of pixels", i, f.offset,
          f.offset + bytes, pixels.count());
  }
}

void check_draw(const AugmentDraw& d, const Frame& f, size_t index) {
  const bool inside = d.top >= 0 && d.left >= 0 && d.height > 0 && d.width > 0 && d.top + d.height <= f.height &&
                      d.left + d.width <= f.width;
  const bool whole = d.top == static_cast<int32_t>(d.top) && d.left == static_cast<int32_t>(d.left) &&
                     d.height == static_cast<int32_t>(d.height) && d.width == static_cast<int32_t>(d.width);
  check(!d.clip || (inside && whole),
        "[augment] got draw {} with box {}x{} at ({}, {}), expected whole pixels inside the image's {}x{}", index,
        d.height, d.width, d.top, d.left, f.height, f.width);
  check(d.hue >= -0.5f && d.hue <= 0.5f, "[augment] got draw {} with hue {}, expected one in [-0.5, 0.5]", index,
        d.hue);
}

// A host array where the kernel can read it: itself on the CPU, else a copy that `keep` holds.
template <class T>
const T* on_device(std::span<const T> values, Device device, std::vector<Tensor>& keep) {
  if (device == Device::cpu || values.empty()) return values.data();
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  const auto size = static_cast<int64_t>(values.size_bytes());
  keep.push_back(Tensor::from(std::span<const uint8_t>(bytes, values.size_bytes()), Shape{size}).to(device));
  return reinterpret_cast<const T*>(keep.back().data<uint8_t>());
}

Tensor launch_views(const Tensor& pixels, std::span<const Frame> frames, std::span<const int32_t> samples,
                    std::span<const AugmentParameters> views, std::span<const AugmentDraw> draws, int64_t size,
                    uint64_t seed, uint64_t step, DType dtype, int first_view = 0) {
  const auto count = static_cast<int64_t>(frames.size()), total = static_cast<int64_t>(views.size());
  std::vector<Tensor> keep;
  Tensor y = Tensor::empty({total * count, size, size, 3}, dtype, pixels.device());
  const Frame* frames_there = on_device(frames, pixels.device(), keep);
  const int32_t* samples_there = on_device(samples, pixels.device(), keep);
  const AugmentDraw* draws_there = on_device(draws, pixels.device(), keep);
  for (int64_t first = 0; first < total && count > 0; first += kernels::max_augment_views) {
    const int64_t some = std::min<int64_t>(kernels::max_augment_views, total - first);
    Tensor part = y.slice(first * count, (first + some) * count);
    Augment k = {.pixels = pixels.in(),
                 .frames = frames_there,
                 .samples = samples_there,
                 .draws = draws.empty() ? nullptr : draws_there + first * count,
                 .y = part.out(),
                 .views = some,
                 .count = count,
                 .size = size,
                 .seed = seed,
                 .step = step,
                 .first_view = first_view + static_cast<int32_t>(first),
                 .view = {}};
    std::copy_n(views.begin() + first, some, k.view);
    kernels::launch(k, pixels.stream());
  }
  return y;
}

Range around(double center, double strength, double low, double high) {
  return {static_cast<float>(std::max(low, center - strength)), static_cast<float>(std::min(high, center + strength))};
}

}  // namespace

Normalisation normalisation(const std::string& name) {
  if (name == "none") return {{0, 0, 0}, {1, 1, 1}};
  if (name == "imagenet") return {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  if (name == "cifar10") return {{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}};
  if (name == "half") return {{0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}};
  fail("[augment] got normalisation '{}', expected none, half, imagenet or cifar10", name);
}

void AugmentOptions::fields(Fields& f) {
  f("crop-min", crop_min, "smallest crop, as a share of the image's area", above_up_to(0, 1));
  f("crop-max", crop_max, "largest crop, as a share of the image's area", above_up_to(0, 1));
  f("flip", flip, "probability of a horizontal flip", between(0, 1));
  f("jitter", jitter, "probability of colour jitter", between(0, 1));
  f("brightness", brightness, "jitter: brightness factor within 1 ± this", at_least(0));
  f("contrast", contrast, "jitter: contrast factor within 1 ± this, about the image's mean", at_least(0));
  f("saturation", saturation, "jitter: saturation factor within 1 ± this", at_least(0));
  f("hue", hue, "jitter: hue turned by up to this share of the colour circle, at most 0.5", between(0, 0.5));
  f("grayscale", grayscale, "probability of grayscale", between(0, 1));
  f("blur", blur, "probability of a Gaussian blur", between(0, 1));
  f("blur-min", blur_min, "least standard deviation of the blur, in pixels", at_least(0));
  f("blur-max", blur_max, "largest standard deviation of the blur, in pixels", at_least(0));
  f("solarize", solarize, "probability of inverting the pixels above solarize-threshold", between(0, 1));
  f("solarize-threshold", solarize_threshold, "brightness, 0 to 1, from which solarize inverts", between(0, 1));
  f("normalise", normalise, "mean and deviation taken from the pixels", {"none", "half", "imagenet", "cifar10"});
}

AugmentParameters AugmentOptions::parameters() const {
  check(brightness >= 0 && contrast >= 0 && saturation >= 0 && hue >= 0 && hue <= 0.5,
        "[augment] got jitter strengths {}, {}, {} and {}, expected none below 0 and hue at most 0.5", brightness,
        contrast, saturation, hue);
  AugmentParameters p;
  p.crop_area = {static_cast<float>(crop_min), static_cast<float>(crop_max)};
  p.flip = static_cast<float>(flip);
  p.jitter = static_cast<float>(jitter);
  p.grayscale = static_cast<float>(grayscale);
  p.blur = static_cast<float>(blur);
  p.solarize = static_cast<float>(solarize);
  p.brightness = around(1, brightness, 0, 1e4);
  p.contrast = around(1, contrast, 0, 1e4);
  p.saturation = around(1, saturation, 0, 1e4);
  p.hue = around(0, hue, -0.5, 0.5);
  p.blur_sigma = {static_cast<float>(blur_min), static_cast<float>(blur_max)};
  p.solarize_threshold = static_cast<float>(solarize_threshold);
  const Normalisation n = normalisation(normalise);
  std::copy_n(n.mean, 3, p.mean);
  std::copy_n(n.std, 3, p.std);
  check_parameters(p);
  return p;
}

Tensor augment(const Tensor& pixels, std::span<const Frame> frames, std::span<const int32_t> samples,
               std::span<const AugmentParameters> views, int64_t size, uint64_t seed, uint64_t step, DType dtype,
               int first_view) {
  check_input(pixels, frames, views, size, dtype);
  check(samples.size() == frames.size(), "[augment] got {} sample indices for {} images, expected as many",
        samples.size(), frames.size());
  return launch_views(pixels, frames, samples, views, {}, size, seed, step, dtype, first_view);
}

Tensor augment(const Tensor& pixels, std::span<const Frame> frames, std::span<const AugmentParameters> views,
               std::span<const AugmentDraw> draws, int64_t size, DType dtype) {
  check_input(pixels, frames, views, size, dtype);
  check(draws.size() == frames.size() * views.size(), "[augment] got {} draws for {} views of {} images, expected {}",
        draws.size(), views.size(), frames.size(), frames.size() * views.size());
  for (size_t i = 0; i < draws.size(); ++i) check_draw(draws[i], frames[i % frames.size()], i);
  return launch_views(pixels, frames, {}, views, draws, size, 0, 0, dtype);
}

Tensor evaluation_view(const Tensor& pixels, std::span<const Frame> frames, int64_t size,
                       const Normalisation& normalisation, DType dtype, double crop_fraction) {
  AugmentParameters p;
  p.evaluation = true;
  p.crop_fraction = static_cast<float>(crop_fraction);
  std::copy_n(normalisation.mean, 3, p.mean);
  std::copy_n(normalisation.std, 3, p.std);
  const std::vector<int32_t> samples(frames.size(), 0);
  return augment(pixels, frames, samples, {&p, 1}, size, 0, 0, dtype);
}

AugmentDraw draw_view(const AugmentParameters& p, uint64_t seed, uint64_t step, int32_t sample, int view,
                      int32_t height, int32_t width, int64_t size) {
  check_parameters(p);
  check(height > 0 && width > 0 && size > 0, "[augment] got an image of {}x{} and a view of {} pixels", height, width,
        size);
  return kernels::draw_augment(p, seed, step, static_cast<uint32_t>(sample), static_cast<uint32_t>(view), height, width,
                               size);
}

std::string describe(const AugmentDraw& d) {
  std::string text = fmt::format("crop {:g}x{:g} at ({:g}, {:g})", d.height, d.width, d.top, d.left);
  if (d.flip) text += ", flip";
  std::string jitter;
  for (ColorOp op : d.order) {
    if (op == ColorOp::brightness && d.brightness != 1) jitter += fmt::format(" brightness {:.3f}", d.brightness);
    if (op == ColorOp::contrast && d.contrast != 1) jitter += fmt::format(" contrast {:.3f}", d.contrast);
    if (op == ColorOp::saturation && d.saturation != 1) jitter += fmt::format(" saturation {:.3f}", d.saturation);
    if (op == ColorOp::hue && d.hue != 0) jitter += fmt::format(" hue {:+.3f}", d.hue);
  }
  if (!jitter.empty()) text += ", jitter" + jitter;
  if (d.grayscale) text += ", grayscale";
  if (d.blur_sigma > 0) text += fmt::format(", blur {:.3f}", d.blur_sigma);
  if (d.solarize) text += ", solarize";
  return text;
}

}  // namespace gestalt
