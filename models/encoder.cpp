// The list of encoders and their construction by name.
#include "models/encoder.h"

#include <algorithm>

#include "engine/run/fields_json.h"
#include "models/dcgan.h"
#include "models/resnet.h"
#include "models/vit.h"

namespace gestalt {

namespace {

const ResNetShape* resnet_shape(const std::string& model) {
  for (const ResNetShape& s : resnet_shapes())
    if (s.name == model) return &s;
  return nullptr;
}

const VitShape* vit_shape(const std::string& model) {
  for (const VitShape& s : vit_shapes())
    if (s.name == model) return &s;
  return nullptr;
}

constexpr const char* dcgan = "dcgan";

// The fields of `given` that differ from their defaults, as flags.
template <class Options>
std::string changed_flags(Options given) {
  JsonWriter now, before;
  given.fields(now);
  Options().fields(before);
  std::string flags;
  for (const auto& [name, value] : now.object.items())
    if (value != before.object[name]) flags += (flags.empty() ? "--" : " and --") + name;
  return flags;
}

template <class Options>
void refuse_others(const std::string& model, const Options& others) {
  check(others == Options(), "[model] got {} for {}, which would ignore it; leave it out", changed_flags(others),
        model);
}

}  // namespace

void ResNetOptions::fields(Fields& f) {
  f("stem", stem, "of a ResNet: cifar (3x3), imagenet (7x7 stride 2, max-pool) or auto (cifar up to 64 pixels)",
    {"auto", "cifar", "imagenet"});
  f("width", width, "channels of the first stage of a ResNet or dcgan; 64 is the papers', 16 or 32 suit a CPU",
    between(1, 1024));
}

void VitOptions::fields(Fields& f) {
  f("patch", patch, "pixels along a patch of a ViT; 0: 4 for images up to 64 pixels, else 16", between(0, 16384));
  f("pool", pool, "features of a ViT: mean of its patch tokens, or cls, its class token", {"mean", "cls"});
  f("class-token", class_token, "give a ViT a class token");
  f("norm-epsilon", epsilon, "added to the variance in a ViT's layer norms; 1e-12 in those of transformers",
    at_least(0));
}

void EncoderOptions::fields(Fields& f) {
  f("model", model, "encoder; see 'gestalt list models'");
  resnet.fields(f);
  vit.fields(f);
}

void EncoderOptions::own_fields(Fields& f) {
  f("model", model, "encoder");
  if (resnet_shape(model) || model == dcgan) resnet.fields(f);
  if (vit_shape(model)) vit.fields(f);
}

EncoderOptions EncoderOptions::own() const {
  EncoderOptions options{.model = model};
  if (resnet_shape(model) || model == dcgan) options.resnet = resnet;
  if (vit_shape(model)) options.vit = vit;
  return options;
}

std::vector<EncoderEntry> list_encoders() {
  std::vector<EncoderEntry> all;
  for (const ResNetShape& s : resnet_shapes()) all.push_back({s.name, s.summary});
  for (const VitShape& s : vit_shapes()) all.push_back({s.name, s.summary});
  all.push_back({dcgan, "the discriminator of DCGAN (Radford et al. 2016): strided 4x4 convolutions; for gan"});
  return all;
}

void check_model(const EncoderOptions& options) {
  std::vector<std::string> names;
  for (const EncoderEntry& e : list_encoders()) names.push_back(e.name);
  check(std::find(names.begin(), names.end(), options.model) != names.end(),
        "[model] got --model '{}', which is none{}", options.model, suggestion(options.model, names));
}

std::unique_ptr<Encoder> make_encoder(const EncoderOptions& options, int64_t image_size, Random& random) {
  if (const ResNetShape* shape = resnet_shape(options.model)) {
    const auto& [stem, width] = options.resnet;
    refuse_others(options.model, options.vit);
    check(width >= 1 && width <= 1024, "[model] got --width {}, expected 1 to 1024", width);
    const bool cifar_stem = stem == "cifar" || (stem == "auto" && image_size <= 64);
    return std::make_unique<ResNet>(*shape, width, cifar_stem, random);
  }
  if (const VitShape* shape = vit_shape(options.model)) {
    refuse_others(options.model, options.resnet);
    const int64_t patch = options.vit.patch > 0 ? options.vit.patch : (image_size <= 64 ? 4 : 16);
    const bool pooled = options.vit.pool == "cls";
    check(options.vit.class_token || !pooled,
          "[model] got --pool cls for a ViT without a class token; use --pool mean");
    const ClassToken class_token =
        options.vit.class_token ? (pooled ? ClassToken::pooled : ClassToken::unpooled) : ClassToken::none;
    return std::make_unique<VisionTransformer>(*shape, image_size, patch, class_token, random, options.vit.epsilon);
  }
  if (options.model == dcgan) {
    refuse_others(options.model, options.vit);
    refuse_others(options.model, ResNetOptions{.stem = options.resnet.stem});
    return std::make_unique<DcganDiscriminator>(DcganOptions{.image_size = image_size, .width = options.resnet.width},
                                                random);
  }
  check_model(options);
  fail("[model] {} is listed and cannot be made", options.model);
}

}  // namespace gestalt
