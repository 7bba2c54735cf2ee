// GAN: a generator makes images that a discriminator cannot tell from real ones; the discriminator is the encoder.
// Goodfellow et al. 2014, "Generative adversarial networks"; the networks are DCGAN's (Radford et al. 2016).
#include "engine/ops/noise.h"
#include "engine/ops/pointwise.h"
#include "engine/tensor/autograd.h"
#include "kernels/philox.h"
#include "models/dcgan.h"
#include "tasks/training/image_method.h"

namespace gestalt {
namespace {

// Two networks learn in turn. Real and generated images pass the discriminator apart, each by the statistics of its own
// batch; the generator learns by the non-saturating loss, from the images that the discriminator has just seen.
class Gan : public ImageMethod {
 public:
  Gan() {
    run.batch = 128;
    model.model = "dcgan";
    optimizer = {.kind = "adamw", .rate = 2e-4, .rate_scaling = "none", .decay = 0, .beta1 = 0.5, .final_rate = 1};
    augment.crop_min = 1;
    augment.jitter = 0;
    augment.grayscale = 0;
    augment.normalise = "half";
  }

  void own_fields(Fields& f) override {
    f.title("GAN");
    f("latent", options_.latent, "random numbers that an image is made from", between(1, 1 << 20));
    f("generator-width", options_.width, "channels of the generator's largest map", between(1, 1 << 20));
    f("real-label", real_label_, "what the discriminator is to say of real images; 0.9 holds it back where it wins",
      above_up_to(0.5, 1));
    f("generator-lr", generator_rate_, "learning rate of the generator; 0: --lr, which is the discriminator's",
      at_least(0));
  }

  std::vector<ViewGroup> views() const override { return {{{augment.parameters()}, image_size}}; }

  int64_t least_batch() const override { return 1; }
  void build_heads(Random& random) override {
    check(dynamic_cast<DcganDiscriminator*>(encoder_.get()), "[gan] got --model {}, expected dcgan", model.model);
    check(augment.normalise == "half", "[gan] got --normalise {}, expected half: the generator paints from -1 to 1",
          augment.normalise);
    options_.image_size = image_size;
    generator_ = std::make_unique<DcganGenerator>(options_, random);
  }

  std::vector<Network> networks() const override {
    OptimizerOptions generator = optimizer;
    if (generator_rate_ > 0) generator.rate = generator_rate_;
    return {{"discriminator", "discriminator.", optimizer}, {"generator", "generator.", generator}};
  }

  Loss loss(const Batch& batch, const StepInfo& info) override {
    if (info.network == 0) {
      const Tensor& real = batch.views[0];  // (B, S, S, 3)
      generated_ = generate(batch.samples, info.batch);
      const Tensor logits = score(real), on_generated = mean(softplus(score(generated_.detach())));
      // −y log D(x) − (1 − y) log(1 − D(x)) with y under 1: one-sided label smoothing (Salimans et al. 2016,
      // section 3.4).
      Tensor on_real = scale(mean(softplus(scale(logits, -1))), real_label_);
      if (real_label_ < 1) on_real = add(on_real, scale(mean(softplus(logits)), 1 - real_label_));
      return {add(on_real, on_generated), {}};
    }
    const Tensor loss = mean(softplus(scale(score(generated_), -1)));
    generated_ = {};
    return {loss, {}};
  }
  std::vector<CollapseSign> collapse_signs() const override { return {}; }  // no loss tells the features apart

  std::optional<Picture> picture(const Tensor& images, uint64_t draw) override {
    constexpr int64_t columns = 8;
    const NoGrad no_grad;
    const Tensor samples = first_samples(columns * columns, images.device());
    // Pictures count steps back from the last one there is, training up from 0.
    Picture sheet = draw_sheet(generate(samples, last_step - draw).to(DType::f32), columns, normalisation("half"));
    sheet.caption = "what the generator makes of 64 draws, the same at each time";
    return sheet;
  }

  void visit(Visitor& v) override {
    v("discriminator", *encoder_);
    v("generator", *generator_);
  }

 private:
  Tensor generate(const Tensor& samples, kernels::Varying<uint64_t> step) {
    const auto seed = static_cast<uint64_t>(run.seed);
    return (*generator_)(normal_noise(samples, options_.latent, seed, step, run.resolved_dtype()), true);
  }
  Tensor score(const Tensor& images) { return static_cast<DcganDiscriminator&>(*encoder_).score(images, true); }

  DcganOptions options_;
  double generator_rate_ = 0, real_label_ = 1;
  std::unique_ptr<DcganGenerator> generator_;
  Tensor generated_;  // from the discriminator's turn to the generator's
};

const RegisterMethod<Gan> gan("gan",
                              "GAN (Goodfellow et al. 2014; DCGAN): a generator and a discriminator learn in turn");

}  // namespace
}  // namespace gestalt
