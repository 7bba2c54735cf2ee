// What a model paints of images whose patches were hidden, as a picture to look at.
#pragma once

#include "engine/data/images/picture.h"

namespace gestalt {

struct Reconstructions {
  Tensor images;       // (B, S, S, 3), normalised
  Tensor predictions;  // (B, N, side·side·3)
  Tensor masked;       // i32 (B, M)
  int64_t side;        // pixels along a patch
  bool norm_pixels;    // predictions are in units of their patch's mean and deviation, which the picture puts back
};

// The masked loss of the predictions, and of predicting each masked patch's mean instead, which a model has to beat.
struct MaskedLosses {
  double model, patch_mean;
};
MaskedLosses masked_losses(const Reconstructions& r);

// A row an image: the input, what the encoder saw (the rest grey), the prediction of every patch, and the prediction
// where masked with the input elsewhere.
Picture draw_reconstructions(const Reconstructions& r, const Normalisation& normalisation);

}  // namespace gestalt
