// What a run is where nobody says: the method by what the data are; view size, encoder, batch and epochs by the data
// and the machine.
#pragma once

#include <cstdint>
#include <string>

#include "engine/data/batch.h"
#include "kernels/memory.h"

namespace gestalt {

// Who learns where no method is named. Of the methods side by side for the same short time, SimCLR and its relatives
// gave the best encoders of those without labels (bench/results/methods-cpu.md).
constexpr const char* default_image_method = "simclr";
constexpr const char* default_text_method = "gpt";
// The default method of what `data` names. Throws Error for what is neither images nor text.
std::string default_method(const std::string& data);

struct DataFacts {
  Modality modality = Modality::images;
  int64_t images = 0;         // that are learned from
  int64_t short_side = 0;     // of the median image
  bool one_size = true;       // as far as was looked: all are squares of that side
  double decode_seconds = 0;  // that all its files would take one core to decode
  int64_t bytes = 0;          // of a text
};
// Looks at names, sizes and up to 64 headers.
DataFacts look_at_data(const std::string& data, bool unlabelled);

// "decoding 20000 images first takes about 8 minutes", where nobody would wait for it without a word; else empty.
std::string decoding_text(const DataFacts& data, int64_t cores);

struct MachineFacts {
  Device device = Device::cpu;
  int64_t cores = 1;       // that the run may use
  bool fast_bf16 = false;  // has instructions that multiply bf16
  int64_t memory = 0;      // bytes of the device
};
MachineFacts look_at_machine(Device device, int64_t threads);

struct FirstChoice {
  std::string fields;  // lines of "name = value", for set_fields()
  std::string reason;  // "72 images of 640 pixels (the shorter side of the median one) on 2 cores"
};
// Who learns: a method, and its encoder by name.
struct Learner {
  std::string method = {}, model = {};
  int64_t patch = 0;            // of a ViT; 0: by the view's size
  bool model_is_given = false;  // no other may be chosen
};
// A function of its arguments alone. The default methods' learning rates and heads are chosen too; of another method,
// what it shares with them. A ResNet may become another, other encoders stay, and views are of a size that they take.
FirstChoice choose(const Learner& learner, const DataFacts& data, const MachineFacts& machine);

}  // namespace gestalt
