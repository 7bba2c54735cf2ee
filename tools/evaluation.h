// What the evaluations share on the command line: an encoder and labelled images in, a protocol and a table row out.
#pragma once

#include <string>
#include <vector>

#include "models/import.h"
#include "tasks/evaluation/features.h"

namespace gestalt::tools {

// Which encoder, and how it is run.
struct EncoderChoice {
  std::string encoder, device = "auto", dtype = "auto";
  int64_t batch = 256;  // has a flag with every command, under its own name
  bool untrained = false;
  ImportOptions foreign = {};

  void fields(Fields& f);
};

struct ReadyEncoder {
  LoadedEncoder loaded;  // with fresh weights where the choice says untrained
  ViewOptions view;      // as in training
};
// A file as it is; of a run's folder, the encoder that it ended with; of another folder, its model.safetensors. `tag`
// names the command in errors.
std::string encoder_file(const std::string& path, const char* tag);
// The folder of the run whose best encoder (--keep-best) `path` is, RUN/best or a file in it; else empty.
std::string run_of_best(const std::string& path);
// `seed` draws an untrained encoder's weights; `tag` names the command in errors.
ReadyEncoder load_ready(const EncoderChoice& choice, uint64_t seed, const char* tag);

struct EncoderSource : EncoderChoice {
  std::string data, row = "latex";
  int64_t threads = 0;
  double damage_limit = OpenOptions().damage_limit;
  bool json = false;

  void fields(Fields& f);
};

struct OpenedEncoder : ReadyEncoder {
  std::shared_ptr<ImageSet> train, test;  // labelled
  int64_t classes = 0;
};
// Says which images they are. `seed` draws an untrained encoder's weights. `whole` images are for those who draw views
// of their own from them, instead of what centre_views() decodes.
OpenedEncoder open_encoder(const EncoderSource& source, uint64_t seed, bool whole = false);

std::string method_name(const ReadyEncoder& ready);  // that it was trained by; "-" where that is not known
std::string model_name(const ReadyEncoder& ready);   // "vit-tiny/2", "resnet18 (width 16)"

struct EvaluationResult {
  std::string evaluation;    // "knn", "linear", …
  std::string details = {};  // what a table has to say with it: "k = 20"
  double accuracy = 0;       // percent
  std::string protocol;
  double labels = 1;         // share of the training labels that was asked for, of each class at least one
  int64_t kept = 0;          // how many that came to
  std::string instead = {};  // what took the pretrained encoder's place: "raw pixels", "from scratch", …
};
// The result in words, its protocol, and a line for a table, or as JSON; the run's results.jsonl gets it too.
void print_result(const EncoderSource& source, const OpenedEncoder& opened, const EvaluationResult& result);

}  // namespace gestalt::tools
