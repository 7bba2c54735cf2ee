// `gestalt evaluate text`: a GPT's loss and bits per byte on text that it was not trained on.
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "engine/data/text/token_sets.h"
#include "engine/run/files.h"
#include "tasks/evaluation/held_out.h"
#include "tools/commands.h"
#include "tools/evaluation.h"
#include "tools/flags.h"
#include "tools/gpt_source.h"
#include "tools/results.h"

namespace gestalt::tools {
namespace {

struct TextCommand : GptSource {
  std::string data, split = "validation", row = "latex", encoding = "utf-8";
  double val_fraction = 0.1;
  int64_t batch = 16;
  bool json = false;

  void fields(Fields& f) {
    f("data", data, "text:FILE, or tokens:FOLDER from 'gestalt tokenize'");
    f("split", split, "validation: what training on this --data keeps out; all: the whole text",
      {"validation", "training", "all"});
    f("val-fraction", val_fraction, "share of a text, at its end, that is its validation split", under(1));
    f("encoding", encoding, "what a text: is written in", {"utf-8", "latin-1"});
    f("eval-batch", batch, "windows read at once", between(1, 1 << 24));
    GptSource::fields(f);
    row_field(f, row);
    json_field(f, json);
  }
};

std::shared_ptr<const TokenFile> open_split(const TextCommand& o, const Tokenizer& tokenizer) {
  check(!o.data.empty(), "[evaluate] got no --data; give text:FILE or tokens:FOLDER");
  const bool all = o.split == "all";
  check(!all || !o.data.starts_with("tokens:"), "[evaluate] got --split all for token files, expected one of the two");
  const TokenSets sets = open_tokens(expand_home(o.data), tokenizer, all ? 0 : o.val_fraction, o.encoding);
  const auto& part = o.split == "validation" ? sets.validation : sets.training;
  check(part != nullptr, "[evaluate] {} has no validation split; give --split all or training", o.data);
  return part;
}

void run(const TextCommand& o) {
  const OpenedGpt opened = open_gpt(o);
  const std::shared_ptr<const TokenFile> text = open_split(o, *opened.tokenizer);
  const HeldOutLoss held =
      held_out_loss([&](const Tensor& tokens,
                        const Tensor& targets) { return token_loss(*opened.model, tokens, targets, opened.dtype); },
                    text, opened.model->options().context, o.batch, opened.dtype);
  record_result(o.model,
                {{"evaluation", "text"},
                 {"nats_per_token", held.nats_per_token},
                 {"perplexity", std::exp(held.nats_per_token)},
                 {"bits_per_byte", held.bits_per_byte},
                 {"protocol", held.protocol},
                 {"data", o.data},
                 {"split", o.split},
                 {"tokenizer", opened.tokenizer->name()}},
                o.json);
  if (o.json) return;
  fmt::print(
      "{}: loss {:.4f} nats a token, perplexity {:.2f}, {:.4f} bits per byte\nprotocol: {}; {} of {}, {} tokens\n",
      o.model, held.nats_per_token, std::exp(held.nats_per_token), held.bits_per_byte, held.protocol,
      o.split == "all" ? "all" : o.split + " split", o.data, opened.tokenizer->name());
  const GptOptions& g = opened.model->options();
  const std::string row =
      table_row({fmt::format("GPT-2 {}x{}, context {}", g.layers, g.width, g.context), opened.tokenizer->name(),
                 fmt::format("{:.4f}", held.nats_per_token), fmt::format("{:.2f}", std::exp(held.nats_per_token)),
                 fmt::format("{:.4f}", held.bits_per_byte)},
                o.row);
  fmt::print("table row (model, tokens, loss, perplexity, bits per byte):\n{}\n", row);
}

}  // namespace

void add_text(Command evaluate) {
  const Command command = evaluate.add("text", "a GPT's loss and bits per byte on held-out text");
  const auto options = std::make_shared<TextCommand>();
  command.argument("run", options->model, "run folder, or model.safetensors of a GPT-2");
  set_command(
      command, [](const TextCommand& o) { run(o); }, options);
}

}  // namespace gestalt::tools
