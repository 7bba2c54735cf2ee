// Opening what is evaluated, and saying what came out.
#include "tools/evaluation.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/data/images/splits.h"
#include "engine/run/files.h"
#include "kernels/cpu/team.h"
#include "models/vit.h"
#include "tasks/training/best.h"
#include "tools/output.h"
#include "tools/results.h"

namespace gestalt::tools {
namespace {

std::string note_of(const EncoderInfo& info, const std::string& key, const std::string& fallback) {
  const auto found = info.notes.find(key);
  return found == info.notes.end() ? fallback : found->second;
}

}  // namespace

std::string method_name(const ReadyEncoder& ready) { return note_of(ready.loaded.info, "gestalt.task", "-"); }

std::string model_name(const ReadyEncoder& ready) {
  const EncoderOptions& o = ready.loaded.info.options;
  if (const auto* vit = dynamic_cast<const VisionTransformer*>(ready.loaded.encoder.get()))
    return fmt::format("{}/{}", o.model, vit->patch());
  return o.resnet.width == ResNetOptions().width ? o.model : fmt::format("{} (width {})", o.model, o.resnet.width);
}

void EncoderChoice::fields(Fields& f) {
  f("device", device, "auto, cpu or cuda", {"auto", "cpu", "cuda"});
  f("dtype", dtype, "what activations are computed in", {"auto", "f32", "bf16"});
  f("untrained", untrained, "baseline: the encoder's architecture with fresh weights, drawn by the seed");
  foreign.fields(f);
}

void EncoderSource::fields(Fields& f) {
  f("data", data, "labelled images; see 'gestalt list data'");
  f("eval-batch", batch, "images encoded at once", between(1, 1 << 24));
  f("threads", threads, "of the CPU; 0: one a core", between(0, 4096));
  f("damage-limit", damage_limit, "share of images that may be unreadable, which are left out", between(0, 1));
  EncoderChoice::fields(f);
  row_field(f, row);
  json_field(f, json);
}

ReadyEncoder load_ready(const EncoderChoice& choice, uint64_t seed, const char* tag) {
  ReadyEncoder ready;
  ImportedEncoder imported = import_encoder(encoder_file(expand_home(choice.encoder), tag), choice.foreign);
  for (const std::string& line : imported.said) note(line);
  ready.loaded = std::move(imported.loaded);
  const RunOptions run{.device = choice.device, .dtype = choice.dtype};
  const EncoderInfo& info = ready.loaded.info;
  ready.view = {.size = info.image_size,
                .normalisation = note_of(info, "gestalt.normalise", "none"),
                .batch = choice.batch,
                .device = run.resolved_device(),
                .dtype = run.resolved_dtype()};
  if (choice.untrained) {
    Random random(seed);
    ready.loaded.encoder = make_encoder(info.options, info.image_size, random);
  }
  move_to(*ready.loaded.encoder, ready.view.device);
  return ready;
}

OpenedEncoder open_encoder(const EncoderSource& given, uint64_t seed, bool whole) {
  EncoderSource source = given;
  source.data = expand_home(source.data);
  check(!source.data.empty(), "[evaluate] got no --data; name labelled images, see 'gestalt list data'");
  if (source.threads > 0) kernels::cpu::set_team_size(static_cast<int>(source.threads));
  OpenedEncoder opened{load_ready(source, seed, "evaluate"), {}, {}, 0};
  opened.view.threads = static_cast<int>(source.threads);
  OpenOptions open = centre_views(opened.view.size);
  if (whole) open.decode_size = decode_size(opened.view.size), open.decode_crop = false;
  open.split = "train", open.hold_out = true;
  open.threads = static_cast<int>(source.threads), open.damage_limit = source.damage_limit;
  opened.train = open_images(source.data, open);
  opened.test = open_test(source.data, open);
  check_measurable(*opened.train, opened.test.get());
  opened.classes = static_cast<int64_t>(opened.train->class_names().size());
  if (!source.json) fmt::print("{}\n{}\n", opened.train->describe(), opened.test->describe());
  flush_output();  // before what stderr gets
  return opened;
}

void print_result(const EncoderSource& source, const OpenedEncoder& opened, const EvaluationResult& result) {
  const EncoderInfo& info = opened.loaded.info;
  const bool pretrained = result.instead.empty();
  const std::string best = run_of_best(expand_home(source.encoder));
  std::string training = note_of(info, "gestalt.training", "");
  if (!best.empty()) training += fmt::format(", the best at step {}", step_of_best(best));
  record_result(source.encoder,
                {{"evaluation", result.evaluation},
                 {"accuracy", result.accuracy},
                 {"protocol", result.protocol},
                 {"features", !pretrained    ? result.instead
                              : best.empty() ? "encoder"
                                             : "best encoder"},
                 {"encoder", model_name(opened)},
                 {"method", note_of(info, "gestalt.task", "")},
                 {"training", training},
                 {"data", source.data},
                 {"classes", opened.classes},
                 {"train_images", opened.train->size()},
                 {"labels_used", result.kept},
                 {"labels_asked", result.labels},
                 {"test_images", opened.test->size()},
                 {"size", opened.view.size},
                 {"dtype", name(opened.view.dtype)}},
                source.json);
  if (source.json) return;
  const int64_t all = opened.train->size();
  const std::string share = fmt::format("{:.3g} %", 100 * static_cast<double>(result.kept) / static_cast<double>(all));
  fmt::print("{}: {} accuracy {:.2f} % on {} test images\nprotocol: {}; {}, {}\n",
             pretrained ? source.encoder : result.instead, result.evaluation, result.accuracy, opened.test->size(),
             result.protocol,
             result.kept == all ? fmt::format("all {} labels", all)
                                : fmt::format("{} of {} labels ({}; {:g} % of each class, at least one, was asked for)",
                                              result.kept, all, share, 100 * result.labels),
             name(opened.view.dtype));
  const std::string row = table_row(
      {pretrained ? method_name(opened) : result.instead, result.instead == "raw pixels" ? "-" : model_name(opened),
       pretrained && !training.empty() ? training : "-",
       result.details.empty() ? result.evaluation : fmt::format("{} ({})", result.evaluation, result.details),
       result.kept == all ? share : fmt::format("{} of {} ({})", result.kept, all, share),
       fmt::format("{:.2f}", result.accuracy)},
      source.row);
  fmt::print("table row (method, encoder, pretraining, evaluation, labels, top-1 %):\n{}\n", row);
}

}  // namespace gestalt::tools
