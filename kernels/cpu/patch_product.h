// The gradient of a convolution's filters as one matrix product, with the patches gathered as it goes.
#pragma once

#include "kernels/conv.h"

namespace gestalt::kernels::cpu::patch_product {

// True where this is faster than oneDNN's direct convolution: filters larger than 1 × 1, channels in whole panels and a
// few dozen outputs; bf16 on a processor without matrix units, or f32 where an output is at most four pixels wide.
bool serves(const ConvShape&, DType);

// dw (O, KH·KW·I) = dyᵀ (O, outputs) · patches (outputs, KH·KW·I). Sums are f32 whatever the dtype.
void backward_weights(const ConvBackwardWeights&);

}  // namespace gestalt::kernels::cpu::patch_product
