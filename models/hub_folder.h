// Encoders as folders that timm and Hugging Face's transformers load by the folder's name.
#pragma once

#include <string>

#include "models/export.h"
#include "models/masked_decoder.h"

namespace gestalt {

// Writes model.safetensors, config.json and preprocessor_config.json into `folder`, which is made, for
// timm.create_model('local-dir:FOLDER', pretrained=True) and AutoModel / AutoImageProcessor.from_pretrained(FOLDER):
// with the pooling, the view and the normalisation that give our features. timm has no ResNet with another first
// convolution or width than the paper's, no ViT with another epsilon in its norms, and no discriminator of DCGAN:
// config.json then names an architecture that no library has, so that a load fails, and model.py builds it from parts
// of torchvision or timm, but for DCGAN's.
void save_encoder_folder(const std::string& folder, Encoder& encoder, const EncoderInfo& info);

// What the libraries lack for such an encoder; "" where they load it.
std::string not_in_timm(const Encoder& encoder, const EncoderInfo& info);

// A masked autoencoder: its decoder, and how it learns.
struct MaskedAutoencoder {
  MaskedDecoder& decoder;
  DecoderOptions options;
  double mask_ratio = 0.75;
  bool norm_pixels = true;
};
// Adds mae.safetensors to a folder that holds its encoder, a ViT, and makes config.json say where it is, for
// ViTMAEForPreTraining.from_pretrained(FOLDER). AutoModel then gives a ViTMAEModel, which hides patches unless it is
// given mask_ratio=0; timm loads the encoder as before. Adds nothing where timm lacks the encoder, whose epsilon
// transformers would give the decoder too.
void add_masked_autoencoder(const std::string& folder, Encoder& encoder, const EncoderInfo& info,
                            const MaskedAutoencoder& autoencoder);

}  // namespace gestalt
