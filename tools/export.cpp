// `gestalt export`: a trained model as a folder that other libraries load by its name, and as an ONNX file.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "engine/run/files.h"
#include "engine/run/run_folder.h"
#include "models/onnx.h"
#include "tools/commands.h"
#include "tools/export_folder.h"
#include "tools/flags.h"
#include "tools/gpt_source.h"

namespace gestalt::tools {
namespace {

namespace fs = std::filesystem;

struct ExportCommand {
  std::string model, out, onnx, onnx_input = "pixels", bpe;
  bool overwrite = false;
  ImportOptions foreign;

  void fields(Fields& f) {
    f("out", out, "the folder to write, for timm and transformers");
    f("onnx", onnx, "the ONNX file to write");
    f("onnx-input", onnx_input,
      "what its graph takes: pixels, u8 (batch, height, width, 3), or images, f32 (batch, 3, height, "
      "width) from 0 to 1; it normalises both",
      {"pixels", "images"});
    f("bpe", bpe, "of a GPT on GPT-2's byte pairs: folder with encoder.json and vocab.bpe, where they moved");
    f("overwrite", overwrite, "write into a folder, and over a file, that is there");
    foreign.fields(f);
  }
};

void check_free(const std::string& folder, bool overwrite) {
  if (!fs::exists(folder)) return;
  check(fs::is_directory(folder), "[export] got --out '{}', which is a file, expected a folder", folder);
  check(!fs::exists(fs::path(folder) / RunFolder::checkpoint),
        "[export] got --out '{}', which is the folder of a run, expected another", folder);
  check(overwrite || fs::is_empty(folder), "[export] '{}' is there already; name another --out, or give --overwrite",
        folder);
}

void export_image_model(const ExportCommand& o) {
  ReadyEncoder ready =
      load_ready({.encoder = o.model, .device = "cpu", .dtype = "f32", .foreign = o.foreign}, 1, "export");
  if (!o.out.empty()) export_encoder(ready, o.model, o.out);
  if (o.onnx.empty()) return;
  const OnnxInput input = o.onnx_input == "images" ? OnnxInput::images : OnnxInput::pixels;
  save_onnx(o.onnx, *ready.loaded.encoder, ready.loaded.info, input);
  fmt::print("{} as ONNX, images {} -> features (batch, {}): {}\n", model_name(ready),
             input == OnnxInput::pixels ? "u8 (batch, height, width, 3)" : "f32 (batch, 3, height, width) from 0 to 1",
             ready.loaded.encoder->features(), o.onnx);
}

void export_text_model(const ExportCommand& o) {
  LoadedGpt loaded = load_gpt_of(o.model);
  if (!o.out.empty()) export_gpt(loaded, o.model, o.out, o.bpe);
  if (o.onnx.empty()) return;
  save_onnx(o.onnx, *loaded.model);
  fmt::print("GPT-2 as ONNX, input_ids i64 (batch, sequence) -> logits (batch, sequence, {}): {}\n",
             loaded.model->vocabulary(), o.onnx);
}

void run(ExportCommand o) {
  for (std::string* place : {&o.model, &o.out, &o.onnx, &o.bpe}) *place = expand_home(*place);
  check(!o.out.empty() || !o.onnx.empty(), "[export] got no --out and no --onnx; see 'gestalt export --help'");
  if (!o.out.empty()) check_free(o.out, o.overwrite);
  check(o.onnx.empty() || o.overwrite || !fs::exists(o.onnx), "[export] '{}' is there already; give --overwrite",
        o.onnx);
  holds_gpt(o.model) ? export_text_model(o) : export_image_model(o);
}

}  // namespace

void add_export(Command program) {
  const Command command = program.add("export", "write a trained model for timm and transformers, or as ONNX");
  const auto options = std::make_shared<ExportCommand>();
  command.argument("run", options->model, "folder of a run that has ended, or a safetensors file");
  set_command(
      command, [](const ExportCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
