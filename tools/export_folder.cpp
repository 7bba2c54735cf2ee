// Folders of exported models: weights, what loads them, and a card.
#include "tools/export_folder.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/data/text/tokenizer_files.h"
#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "models/gpt_file.h"
#include "models/hub_folder.h"
#include "tasks/training/best.h"
#include "tasks/training/image_method.h"
#include "tasks/training/model_card.h"
#include "tasks/training/run.h"

namespace gestalt::tools {
namespace {

namespace fs = std::filesystem;

// The folder of the run, if `path` is one.
std::string run_folder(const std::string& path) {
  const fs::path folder = fs::is_directory(path) ? fs::path(path) : fs::path(path).parent_path();
  return fs::exists(folder / RunFolder::checkpoint) ? folder.string() : "";
}

void write_card(const std::string& folder, CardParts card, const std::string& run) {
  card.version = GESTALT_VERSION;
  write_file_atomically(folder + "/README.md", model_card(card, run));
}

constexpr const char* timm_usage = R"(import timm
net = timm.create_model("local-dir:FOLDER", pretrained=True).eval()  # strict; net(images) gives the features
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))

from transformers import AutoImageProcessor, AutoModel
processor = AutoImageProcessor.from_pretrained("FOLDER")
)";

constexpr const char* gpt_usage = R"(from transformers import AutoTokenizer, GPT2LMHeadModel
model = GPT2LMHeadModel.from_pretrained("FOLDER").eval()
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
)";

std::string encoder_usage(const std::string& folder, const EncoderInfo& info, bool in_timm, bool autoencoder) {
  if (!in_timm)
    return fs::exists(folder + "/model.py") ? "import sys; sys.path.insert(0, \"FOLDER\")\nimport model\n"
                                              "net = model.load()  # strict; net(images) gives the features\n"
                                            : "from safetensors.torch import load_file\n"
                                              "weights = load_file(\"FOLDER/model.safetensors\")\n";
  if (!autoencoder)
    return std::string(timm_usage) + "net = AutoModel.from_pretrained(\"FOLDER\").eval()  # pooler_output\n";
  return std::string(timm_usage) +
         "from transformers import ViTMAEForPreTraining\n"
         "mae = ViTMAEForPreTraining.from_pretrained(\"FOLDER\").eval()\n"
         "encoder = AutoModel.from_pretrained(\"FOLDER\", mask_ratio=0.0).eval()  # it hides patches unless told not "
         "to\n"
         "features = encoder(pixels).last_hidden_state" +
         (info.options.vit.pool == "cls" ? "[:, 0]\n" : "[:, 1:].mean(1)\n");
}

}  // namespace

void export_encoder(ReadyEncoder& ready, const std::string& model, const std::string& out) {
  Encoder& encoder = *ready.loaded.encoder;
  const EncoderInfo& info = ready.loaded.info;
  const std::string run = run_folder(model), lacks = not_in_timm(encoder, info);
  save_encoder_folder(out, encoder, info);
  if (!run.empty()) {
    const std::unique_ptr<Method> method = method_of_run(run);
    method->run.device = "cpu";
    load_run(run, *method);
    dynamic_cast<ImageMethod&>(*method).add_to_folder(out);
  }
  const bool autoencoder = fs::exists(out + "/mae.safetensors");
  CardParts card{.title = model_name(ready), .library = lacks.empty() ? "timm" : "torchvision"};
  const std::string best = run_of_best(model);
  if (!best.empty())
    card.notes.push_back(
        fmt::format("The best encoder of its run by `--keep-best`, as it was after step {}.", step_of_best(best)));
  card.notes.push_back(fmt::format(
      "{} features of an image. It is shown upright (`PIL.ImageOps.exif_transpose`), its short side resized to {} "
      "pixels by a triangle filter (Pillow's BILINEAR), the centre {}x{} cut out, divided by 255 and normalised as "
      "`preprocessor_config.json` says.",
      encoder.features(), info.image_size, info.image_size, info.image_size));
  if (!lacks.empty())
    card.notes.push_back(
        fmt::format("This is {}, which neither timm nor transformers has: `config.json` names no "
                    "architecture of theirs, so that they refuse it.{}",
                    lacks, fs::exists(out + "/model.py") ? " `model.py` builds it." : ""));
  card.usage = encoder_usage(out, info, lacks.empty(), autoencoder);
  write_card(out, card, best.empty() ? run : best);
  fmt::print("{} for {}: {}\n", model_name(ready),
             lacks.empty() ? (autoencoder ? "timm and transformers, with its decoder" : "timm and transformers")
                           : (fs::exists(out + "/model.py") ? "its model.py" : "those who know its layers"),
             out);
}

void export_gpt(LoadedGpt& loaded, const std::string& model, const std::string& out, const std::string& bpe) {
  const GptOptions& g = loaded.model->options();
  save_gpt(out, *loaded.model, loaded.tokenizer);
  CardParts card{.title = fmt::format("GPT-2 {}x{}, context {}", g.layers, g.width, g.context),
                 .library = "transformers",
                 .usage = gpt_usage};
  if (loaded.tokenizer.empty()) {
    refuse_tokenizer(out, "none, as the model came without one");
    card.notes.push_back("The model came without a tokenizer, so there is none here.");
  } else {
    save_tokenizer_files(out, loaded.tokenizer, g.context, bpe);
  }
  write_card(out, card, run_folder(model));
  fmt::print("{} for transformers: {}\n", card.title, out);
}

}  // namespace gestalt::tools
