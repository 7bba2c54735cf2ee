// GPT: opening text, drawing windows of it, the loss, and what it is on held-out text.
#include "tasks/gpt.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <numbers>

#include "engine/data/mapped_file.h"
#include "engine/ops/cross_entropy.h"
#include "engine/run/fields_json.h"
#include "kernels/philox.h"
#include "models/gpt_file.h"

namespace gestalt {
namespace {

class WindowFeed : public Feed {
 public:
  WindowFeed(std::shared_ptr<const TokenFile> file, int64_t context, int64_t batch, uint64_t seed, Device device)
      : batches_(std::move(file), context, seed), batch_(batch), device_(device) {}

  Inputs at(int64_t step, PhaseClock& clock) override {
    clock.enter(static_cast<size_t>(Phase::data));
    const TokenBatch b = batches_.random(step * batch_, batch_);
    return {{b.inputs.to(device_), b.targets.to(device_)}};
  }
  int64_t steps_per_epoch() const override { return std::max<int64_t>(1, batches_.file().count() / items_per_step()); }
  int64_t items_per_step() const override { return batch_ * batches_.length(); }
  std::string item() const override { return "tokens"; }
  std::string describe() const override {
    const TokenFile& file = batches_.file();
    return fmt::format("{}: {} tokens of {}, {:.2f} bytes each", file.path(), file.count(), file.vocabulary(),
                       static_cast<double>(file.text_bytes()) / static_cast<double>(file.count()));
  }

 private:
  TokenBatches batches_;
  int64_t batch_;
  Device device_;
};

// Lines such as "27+45=72", their numbers below 100 drawn by a fixed seed.
std::string sums(int64_t lines) {
  std::string text;
  for (int64_t i = 0; i < lines; ++i) {
    const Philox4 r = draw(0, Use::made_up, 0, static_cast<uint32_t>(i), 0);
    const uint32_t a = r.word[0] % 100, b = r.word[1] % 100;
    text += fmt::format("{}+{}={}\n", a, b, a + b);
  }
  return text;
}

int64_t sum_lines(const std::string& text) {
  int64_t lines = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), lines);
  check(error == std::errc() && end == text.data() + text.size() && lines >= 1 && lines <= 10'000'000,
        "[data] got 'sums:{}', expected sums:LINES with 1 to 10,000,000 lines", text);
  return lines;
}

struct Spec {
  std::string kind, rest;
};

Spec parse_spec(const std::string& spec) {
  const size_t colon = spec.find(':');
  Spec s{spec.substr(0, colon), colon == std::string::npos ? "" : spec.substr(colon + 1)};
  check((s.kind == "tokens" || s.kind == "text" || s.kind == "sums") && !s.rest.empty(),
        "[data] got '{}', expected tokens:FOLDER, text:FILE or sums:LINES", spec);
  return s;
}

// What f(text, its name) gives for the text of a spec that is no folder of token files.
template <class F>
TokenSets with_text(const Spec& s, F&& f) {
  if (s.kind == "sums") return f(sums(sum_lines(s.rest)), "sums:" + s.rest);
  const MappedFile file(s.rest);
  return f(std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()), s.rest);
}

// Whether ids mean the same. GPT-2's files may lie in another folder; a checksum tells them.
bool same_tokenizer(const std::string& a, const std::string& b) {
  const auto identity = [](const std::string& record) {
    nlohmann::ordered_json json = parse_json("tokenizer", record);
    json.erase("folder");
    json.erase("special");
    return json;
  };
  return identity(a) == identity(b);
}

TokenSets open_token_files(const std::filesystem::path& folder) {
  TokenSets sets{std::make_shared<const TokenFile>(folder / "train.tokens"), nullptr};
  if (std::filesystem::exists(folder / "val.tokens"))
    sets.validation = std::make_shared<const TokenFile>(folder / "val.tokens");
  check(!sets.validation || sets.validation->tokenizer() == sets.training->tokenizer(),
        "[data] train.tokens and val.tokens in '{}' are of two tokenizers; make them again with `gestalt tokenize`",
        folder.string());
  return sets;
}

}  // namespace

TokenSets open_tokens(const std::string& spec, const TokenizeOptions& options) {
  const Spec s = parse_spec(spec);
  if (s.kind == "tokens") return open_token_files(s.rest);
  return with_text(s,
                   [&](std::string_view text, const std::string& name) { return tokenize_text(text, name, options); });
}

TokenSets open_tokens(const std::string& spec, const Tokenizer& tokenizer, double val_fraction) {
  const Spec s = parse_spec(spec);
  if (s.kind != "tokens")
    return with_text(s, [&](std::string_view text, const std::string& name) {
      return tokenize_text(text, name, tokenizer, val_fraction);
    });
  TokenSets sets = open_token_files(s.rest);
  check(same_tokenizer(sets.training->tokenizer(), tokenizer.record()),
        "[data] the token files in '{}' are of another tokenizer than the model; give the text itself as text:FILE",
        s.rest);
  return sets;
}

const std::vector<TextSource>& text_sources() {
  static const std::vector<TextSource> sources{
      {"text:FILE", "a text, UTF-8, tokenized in memory; its last tenth is kept for validation"},
      {"tokens:DIR", "token files that 'gestalt tokenize' wrote, mapped into memory: for texts of any size"},
      {"sums:LINES", "lines such as 27+45=72, made up, for trying things out"}};
  return sources;
}

HeldOutLoss held_out_loss(const Gpt& model, const std::shared_ptr<const TokenFile>& text, int64_t batch, DType dtype) {
  const int64_t length = model.options().context;
  const TokenBatches batches(text, length, 0);
  HeldOutLoss result;
  result.windows = batches.windows();
  result.tokens = result.windows * length;
  double sum = 0;
  for (int64_t first = 0; first < result.windows; first += batch) {
    const int64_t count = std::min(batch, result.windows - first);
    const TokenBatch b = batches.window(first, count);
    sum += token_loss(model, b.inputs.to(model.device()), b.targets.to(model.device()), dtype) *
           static_cast<double>(count);
  }
  result.nats_per_token = sum / static_cast<double>(result.windows);
  result.bits_per_byte = result.nats_per_token / std::numbers::ln2 * static_cast<double>(text->count()) /
                         static_cast<double>(text->text_bytes());
  result.protocol = fmt::format("{} held-out tokens in {} windows of {} without overlap, {}", result.tokens,
                                result.windows, length, name(dtype));
  return result;
}

GptTask::GptTask() {
  run.data = "sums:20000";
  run.batch = 64;
  run.epochs = 10;
  run.probe_every = 1;
  optimizer = {
      .kind = "adamw", .rate = 1e-3, .rate_scaling = "none", .decay = 0.1, .beta2 = 0.95, .clip = 1, .final_rate = 0.1};
  model = {.layers = 6, .heads = 6, .width = 384, .context = 256};
}

void GptTask::fields(Fields& f) {
  Task::fields(f);
  f.title("Model");
  model.fields(f);
  f("dropout", dropout, "of the embedding and of both branches of each block; not of attention's weights");
  f("vocabulary-multiple", row_multiple, "rows of the token table are a multiple of this; 64 suits a GPU");
  f.title("Text");
  text.fields(f);
}

std::unique_ptr<Feed> GptTask::open() {
  tokens_ = open_tokens(run.data, text);
  return std::make_unique<WindowFeed>(tokens_.training, model.context, run.batch, static_cast<uint64_t>(run.seed),
                                      run.resolved_device());
}

void GptTask::build(Random& random) {
  check(dropout >= 0 && dropout < 1, "[gpt] got --dropout {}, expected 0 or more and under 1", dropout);
  check(row_multiple >= 1 && row_multiple <= 65536, "[gpt] got --vocabulary-multiple {}, expected 1 to 65536",
        row_multiple);
  const int64_t vocabulary = tokens_.training->vocabulary();
  const int64_t rows = (vocabulary + row_multiple - 1) / row_multiple * row_multiple;
  gpt_ = std::make_unique<Gpt>(model, vocabulary, random, rows);
}

LossOutput GptTask::loss(const Inputs& inputs, const StepInfo& info) {
  DropoutSites drop{dropout, static_cast<uint64_t>(run.seed), info.batch};
  return {cross_entropy((*gpt_)(inputs.tensors[0], run.resolved_dtype(), drop), inputs.tensors[1]), {}};
}

std::vector<Metric> GptTask::probe() {
  if (!tokens_.validation) return {};
  const HeldOutLoss held = held_out_loss(*gpt_, tokens_.validation, run.batch, run.resolved_dtype());
  return {{"validation_loss", held.nats_per_token, "nats a token; " + held.protocol},
          {"bits_per_byte", held.bits_per_byte, held.protocol}};
}

std::string GptTask::export_to(const std::string& folder) {
  return save_gpt(folder + "/gpt2", *gpt_, tokens_.training->tokenizer(),
                  {{"gestalt.task", name()}, {"gestalt.data", run.data}});
}

void GptTask::visit(Visitor& v) { v("model", *gpt_); }

namespace {

const RegisterTask gpt(
    {"gpt",
     "GPT-2 (Radford et al. 2019): predict each token of a text from those before it",
     [] { return std::unique_ptr<Task>(std::make_unique<GptTask>()); },
     {{"tiny", "seconds on any machine, on a made-up text of sums",
       R"({"data": "sums:400", "layers": 2, "heads": 2, "width": 32, "context": 32, "batch": 16, "epochs": 3,
           "dropout": 0.1, "lr": 3e-3, "probe-every": 0})"},
      {"shakespeare-char",
       "6 layers, 6 heads, width 384, context 256, dropout 0.2, batch 64, 5,000 steps on tinyshakespeare (nanoGPT, "
       "which reports a validation loss of 1.4697)",
       R"({"data": "text:tinyshakespeare.txt",
           "layers": 6, "heads": 6, "width": 384, "context": 256, "dropout": 0.2, "batch": 64, "steps": 5000,
           "lr": 1e-3, "final-lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight-decay": 0.1, "clip": 1.0,
           "warmup-steps": 100, "tokenizer": "character", "probe-every": 4})"},
      {"shakespeare-char-cpu",
       "4 layers, 4 heads, width 128, context 64, no dropout, batch 12, 2,000 steps on tinyshakespeare, minutes on a "
       "laptop (nanoGPT, which reports a validation loss of 1.88)",
       R"({"data": "text:tinyshakespeare.txt",
           "layers": 4, "heads": 4, "width": 128, "context": 64, "dropout": 0.0, "batch": 12, "steps": 2000,
           "lr": 1e-3, "final-lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight-decay": 0.1, "clip": 1.0,
           "warmup-steps": 100, "tokenizer": "character", "probe-every": 1})"},
      {"gpt2-124m",
       "12 layers, 12 heads, width 768, context 1,024, 524,288 tokens a step, 19,073 steps on 10 B tokens of FineWeb; "
       "give --data tokens:FOLDER (llm.c, which reports a validation loss of 3.272)",
       R"({"data": "tokens:fineweb-10b",
           "layers": 12, "heads": 12, "width": 768, "context": 1024, "dropout": 0.0, "batch": 64, "accumulate": 8,
           "steps": 19073, "lr": 6e-4, "final-lr": 0.0, "beta1": 0.9, "beta2": 0.95, "weight-decay": 0.1, "clip": 1.0,
           "warmup-steps": 700, "tokenizer": "gpt2", "vocabulary-multiple": 128, "probe-every": 0})"}}});

}  // namespace

}  // namespace gestalt
