// Models as ONNX files, for runtimes that know nothing of Gestalt.
#pragma once

#include <map>
#include <string>

#include "models/export.h"
#include "models/gpt.h"

namespace gestalt {

// What an encoder's graph is given: pixels, u8 (batch, height, width, 3), as decoders give them; or images, f32 (batch,
// 3, height, width) from 0 to 1, as PyTorch has them.
enum class OnnxInput { pixels, images };

// The graph takes `images` in the evaluation's view, normalises them, and gives `features` (batch, D). A ResNet takes
// any height and width, the others those of `info`. Its metadata say what save_encoder() says. Throws Error for an
// encoder that is none of list_encoders().
void save_onnx(const std::string& path, Encoder& encoder, const EncoderInfo& info, OnnxInput input);

// The graph takes `input_ids` i64 (batch, sequence), no longer than the context, and gives `logits` f32 (batch,
// sequence, vocabulary).
void save_onnx(const std::string& path, Gpt& model, const std::map<std::string, std::string>& notes = {});

}  // namespace gestalt
