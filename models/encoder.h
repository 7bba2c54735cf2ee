// What every image encoder is: images in, one feature vector an image out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/nn/module.h"
#include "engine/run/fields.h"
#include "engine/tensor/random.h"

namespace gestalt {

class Encoder : public Module {
 public:
  // images (N, H, W, 3) → features (N, features()). `training` selects batch statistics in batch norm.
  virtual Tensor forward(const Tensor& images, bool training) = 0;
  virtual int64_t features() const = 0;
  // For layer-wise learning rates: a part's layer, from 0 at the image to layers() next to the features. An encoder
  // with 0 layers has no such order.
  virtual int64_t layers() const { return 0; }
  virtual int64_t layer_of(const std::string&) const { return 0; }
};

struct ResNetOptions {
  std::string stem = "auto";  // cifar: 3×3, no pooling; imagenet: 7×7 stride 2 and max-pool; auto: by image size
  int64_t width = 64;         // channels of the first stage; the others follow (64 is the paper's)
  void fields(Fields& f);
  bool operator==(const ResNetOptions&) const = default;
};

struct VitOptions {
  int64_t patch = 0;          // pixels along a patch; 0: 4 for images up to 64 pixels, else 16
  std::string pool = "mean";  // what it gives: the mean of its patch tokens, or its class token
  bool class_token = true;    // that there is one
  double epsilon = 1e-6;      // of its layer norms
  void fields(Fields& f);
  bool operator==(const VitOptions&) const = default;
};

// A model by name, with the options of its family; those of another family stay at their defaults.
struct EncoderOptions {
  std::string model = "resnet18";
  ResNetOptions resnet = {};
  VitOptions vit = {};
  void fields(Fields& f);      // of all families: what a command line offers
  void own_fields(Fields& f);  // of the model's family: what a file records
  EncoderOptions own() const;  // the others at their defaults
};

// A model that can be asked for by name.
struct EncoderEntry {
  std::string name, summary;
};
std::vector<EncoderEntry> list_encoders();

// Throws Error, suggesting the nearest name, for an unknown model.
void check_model(const EncoderOptions& options);

// Throws Error as check_model() does, and naming the flag for an option that the model
// would ignore. `image_size` resolves stem "auto" and patch 0.
std::unique_ptr<Encoder> make_encoder(const EncoderOptions& options, int64_t image_size, Random& random);

}  // namespace gestalt
