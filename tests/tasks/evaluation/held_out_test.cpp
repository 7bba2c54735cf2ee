// Loss on text that was kept out: where the text comes from, and that each token counts once.
#include "tasks/evaluation/held_out.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

#include "engine/data/text/token_sets.h"
#include "engine/run/files.h"
#include "models/gpt_file.h"
#include "tests/golden_step.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::string golden = test::source_path("tests/golden/");

TokenLoss loss_of(const Gpt& model) {
  return [&](const Tensor& tokens, const Tensor& targets) { return token_loss(model, tokens, targets, DType::f32); };
}

}  // namespace

TEST_CASE("text for GPT: sums, files and token folders; held-out loss counts each token once") {
  const TokenSets sums = open_tokens("sums:50", {});
  CHECK(sums.training->vocabulary() == 13);  // ten digits, +, = and the line's end
  const std::unique_ptr<const Tokenizer> tokenizer = tokenizer_from_record(sums.training->tokenizer());
  std::vector<int32_t> ids(static_cast<size_t>(sums.training->count()));
  sums.training->read(0, ids);
  int a = 0, b = 0, c = 0;
  REQUIRE(std::sscanf(tokenizer->decode(ids).c_str(), "%d+%d=%d\n", &a, &b, &c) == 3);
  CHECK(a + b == c);

  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>('a' + i * i % 17);
  write_file_atomically(folder / "a.txt", text);
  const TokenizeOptions options{.tokenizer = {.kind = "byte"}, .val_fraction = 0.5};
  tokenize_file(folder / "a.txt", folder / "tokens", options);
  const TokenSets memory = open_tokens("text:" + folder / "a.txt", options);
  const TokenSets files = open_tokens("tokens:" + folder / "tokens", {});
  for (auto [x, y] : {std::pair{memory.training, files.training}, std::pair{memory.validation, files.validation}}) {
    std::vector<int32_t> one(static_cast<size_t>(x->count())), two(static_cast<size_t>(y->count()));
    x->read(0, one);
    y->read(0, two);
    CHECK(one == two);
    CHECK(x->text_bytes() == y->text_bytes());
  }
  Random random(1);
  Gpt model({.layers = 1, .heads = 1, .width = 8, .context = 16}, 256, random);
  const HeldOutLoss whole = held_out_loss(loss_of(model), memory.validation, 16, 100, DType::f32);
  const HeldOutLoss parts = held_out_loss(loss_of(model), memory.validation, 16, 4, DType::f32);
  CHECK(whole.tokens == 149 / 16 * 16);
  CHECK(parts.nats_per_token == doctest::Approx(whole.nats_per_token).epsilon(1e-6));
  CHECK(whole.nats_per_token == doctest::Approx(std::log(256)).epsilon(0.01));  // knows nothing yet
  CHECK(whole.bits_per_byte == doctest::Approx(8).epsilon(0.01));

  for (const char* spec : {"", "text", "text:", "tokens:", "sums:", "sums:0", "sums:-3", "sums:5x", "shapes",
                           "text:/no/such/file", "tokens:/no/such/folder"})
    CHECK_THROWS_AS(open_tokens(spec, {}), Error);
}

TEST_CASE("held-out loss and bits per byte equal those of transformers on the same windows") {
  const auto record = golden_record("gpt_held_out.json");
  const LoadedGpt loaded = load_gpt(golden + "gpt2_tiny/model.safetensors");
  std::string alphabet = "é";
  for (char c = 'A'; c <= 'Z'; ++c) alphabet += c, alphabet += static_cast<char>(c - 'A' + 'a');
  const std::unique_ptr<const Tokenizer> tokenizer = character_tokenizer(alphabet);
  REQUIRE(tokenizer->vocabulary() == 53);
  const int64_t context = loaded.model->options().context;
  const TemporaryFolder folder;
  write_file_atomically(folder / "text.txt", record.at("text").get<std::string>());
  const std::string spec = "text:" + folder / "text.txt";
  const auto fraction = record.at("fraction").get<double>();
  for (const char* split : {"all", "validation"}) {
    CAPTURE(split);
    const bool all = std::string(split) == "all";
    const TokenSets sets = open_tokens(spec, *tokenizer, all ? 0 : fraction);
    const HeldOutLoss held =
        held_out_loss(loss_of(*loaded.model), all ? sets.training : sets.validation, context, 5, DType::f32);
    CHECK(held.windows == record.at(split).at("windows").get<int64_t>());
    CHECK(held.nats_per_token == doctest::Approx(record.at(split).at("nats").get<double>()).epsilon(1e-5));
    CHECK(held.bits_per_byte == doctest::Approx(record.at(split).at("bits_per_byte").get<double>()).epsilon(1e-5));
  }
  // A model's tokens, not ones made for this text: an unknown character, or files of another tokenizer, are an error.
  write_file_atomically(folder / "other.txt", "no digits: 123");
  CHECK_THROWS_AS(open_tokens("text:" + folder / "other.txt", *tokenizer, 0), Error);
  tokenize_file(folder / "text.txt", folder / "tokens", {.tokenizer = {.kind = "byte"}});
  CHECK_THROWS_WITH_AS(open_tokens("tokens:" + folder / "tokens", *tokenizer, 0),
                       doctest::Contains("another tokenizer"), Error);
  CHECK(open_tokens("tokens:" + folder / "tokens", *byte_tokenizer(), 0).validation != nullptr);
}

}  // namespace gestalt::test
