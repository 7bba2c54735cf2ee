// GPT: a model of Hugging Face, its initial weights, causality, generation from the cache, and sampling.
#include "models/gpt.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "engine/data/text/tokenizer.h"
#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/safetensors.h"
#include "models/gpt_file.h"
#include "models/sampling.h"
#include "tests/engine/ops/op_table.h"
#include "tests/golden_step.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::string golden = test::source_path("tests/golden/gpt2_tiny/");

// `count` tokens of a vocabulary, by the formula of the golden scripts.
std::vector<int32_t> some_tokens(const std::string& name, int64_t count, int64_t vocabulary) {
  std::vector<int32_t> tokens;
  for (double u : hash_uniform(name, count)) tokens.push_back(static_cast<int32_t>((u + 0.5) * vocabulary));
  return tokens;
}

Tensor as_batch(std::span<const int32_t> tokens, int64_t batch = 1) {
  return Tensor::from(tokens, {batch, static_cast<int64_t>(tokens.size()) / batch});
}

Gpt small_model(int64_t context = 24, int64_t rows = 0) {
  Random random(3);
  Gpt model({.layers = 2, .heads = 3, .width = 24, .context = context}, 53, random, rows);
  fill_by_formula(model);
  return model;
}

Tensor logits_of(const Gpt& model, const Tensor& tokens, DType dtype = DType::f32) {
  const NoGrad no_grad;
  DropoutSites none;
  return model(tokens, dtype, none);
}

SamplingOptions drawn(double temperature, int64_t k, double p, int64_t seed = 1) { return {temperature, k, p, seed}; }

}  // namespace

TEST_CASE("a GPT-2 that transformers saved gives its logits") {
  const char* other = std::getenv("GESTALT_GPT_LOGITS");  // a folder that tests/golden/gpt_export.py wrote
  const std::string folder = other ? other : golden;
  const auto record = parse_json("logits.json", read_text(folder + "logits.json"));
  const LoadedGpt loaded = load_gpt(folder + "model.safetensors");
  CHECK(loaded.tokenizer.empty() == !other);
  const auto tokens = record.at("tokens").get<std::vector<int32_t>>();
  const auto values = record.at("logits").get<std::vector<double>>();
  const auto shape = record.at("shape").get<std::vector<int64_t>>();
  const Tensor expected = Tensor::from(values, {shape[0], shape[1], shape[2]});
  const double error = relative_error(logits_of(*loaded.model, as_batch(tokens, shape[0])), expected);
  MESSAGE("relative error of the logits: ", error);
  CHECK(error < 1e-5);
}

TEST_CASE("GPT begins as GPT-2 does") {
  Random random(5);
  Gpt model({.layers = 8, .heads = 2, .width = 64, .context = 32}, 100, random);
  for (const NamedPart& p : parts(model)) {
    CAPTURE(p.name);
    double sum = 0, squares = 0;
    for (double v : p.tensor.values64()) sum += v, squares += v * v;
    const double n = static_cast<double>(p.tensor.count()), deviation = std::sqrt(squares / n);
    const bool ends_branch = p.name.ends_with("proj.weight") || p.name.ends_with("fc2.weight");
    if (p.tensor.rank() == 2)
      CHECK(deviation == doctest::Approx(0.02 / (ends_branch ? 4 : 1)).epsilon(0.05));
    else
      CHECK(sum == (p.name.ends_with("weight") ? n : 0));
  }
}

TEST_CASE("GPT: a token changes nothing before it") {
  const Gpt model = small_model();
  std::vector<int32_t> tokens = some_tokens("causal", 20, 53);
  const std::vector<float> before = logits_of(model, as_batch(tokens)).values();
  tokens[12] = (tokens[12] + 1) % 53;
  const std::vector<float> after = logits_of(model, as_batch(tokens)).values();
  for (int64_t i = 0; i < 20; ++i) {
    const bool same = std::equal(before.begin() + i * 53, before.begin() + (i + 1) * 53, after.begin() + i * 53);
    CHECK(same == (i < 12));
  }
}

TEST_CASE("GPT: logits from the cache equal those without") {
  const Gpt model = small_model();
  const std::vector<int32_t> tokens = some_tokens("cache", 24, 53);
  const Tensor whole = logits_of(model, as_batch(tokens), DType::f32).reshape({24, 53});
  std::vector<KeyValueCache> caches = model.make_caches(1, DType::f32);
  int64_t seen = 0;
  for (int64_t count : {7, 1, 1, 3, 1, 11}) {
    const Tensor last = model.extend(as_batch(std::span(tokens).subspan(seen, count)), caches);
    seen += count;
    CHECK(relative_error(last, whole.slice(seen - 1, seen)) < 2e-6);
  }
  CHECK(caches[0].length == 24);
  CHECK_THROWS_WITH_AS(model.extend(as_batch(std::vector{1}), caches), doctest::Contains("context of 24"), Error);
}

TEST_CASE("generation is the likeliest token after token, and starts afresh from half a full context") {
  const Gpt model = small_model(16, 64);  // 11 rows of the table are no token
  const std::vector<int32_t> prompt = some_tokens("prompt", 20, 53);
  const std::vector<int32_t> ids = generate(model, prompt, 30, {.temperature = 0}, DType::f32);
  REQUIRE(ids.size() == 30);
  std::vector<int32_t> all = prompt;
  size_t window = 16;
  for (int32_t id : ids) {
    const std::vector<int32_t> seen(all.end() - static_cast<int64_t>(window), all.end());
    std::vector<float> logits = logits_of(model, as_batch(seen)).values();
    const auto last = logits.end() - 64;
    CHECK(id == std::max_element(last, last + 53) - last);
    all.push_back(id);
    window = window == 16 ? 8 : window + 1;
  }
  const std::vector<int32_t> stopped = generate(model, prompt, 30, {.temperature = 0}, DType::f32, ids[3]);
  const auto first = std::find(ids.begin(), ids.end(), ids[3]);
  CHECK(stopped == std::vector<int32_t>(ids.begin(), first + 1));
  CHECK_THROWS_AS(generate(model, {}, 3, {}, DType::f32), Error);
}

TEST_CASE("generation is a function of the seed") {
  const Gpt model = small_model();
  const std::vector<int32_t> prompt{3, 4};
  const auto run = [&](int64_t seed) { return generate(model, prompt, 40, {.seed = seed}, DType::f32); };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}

TEST_CASE("sampling probabilities are those of temperature, top-k and top-p") {
  const std::vector<float> logits{std::log(0.1f), std::log(0.4f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  const auto equal = [&](const SamplingOptions& o, std::vector<double> expected) {
    const std::vector<double> p = sampling_probabilities(logits, o);
    for (size_t i = 0; i < p.size(); ++i) CHECK(p[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  };
  equal(drawn(1, 0, 1), {0.1, 0.4, 0.3, 0.15, 0.05});
  equal(drawn(0, 0, 1), {0, 1, 0, 0, 0});
  const double squares = 0.01 + 0.16 + 0.09 + 0.0225 + 0.0025;
  equal(drawn(0.5, 0, 1), {0.01 / squares, 0.16 / squares, 0.09 / squares, 0.0225 / squares, 0.0025 / squares});
  equal(drawn(1, 2, 1), {0, 4.0 / 7, 3.0 / 7, 0, 0});
  equal(drawn(1, 9, 1), {0.1, 0.4, 0.3, 0.15, 0.05});
  equal(drawn(1, 0, 0.65), {0, 4.0 / 7, 3.0 / 7, 0, 0});
  equal(drawn(1, 0, 0.75), {0, 0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0});
  equal(drawn(1, 0, 1e-9), {0, 1, 0, 0, 0});
  equal(drawn(1, 3, 0.5), {0, 4.0 / 7, 3.0 / 7, 0, 0});  // top-p of the 0.85 that top-k leaves
  const std::vector<float> even(4, 1.0f);
  const std::vector<double> ties = sampling_probabilities(even, drawn(1, 2, 1));
  for (size_t i = 0; i < 4; ++i) CHECK(ties[i] == doctest::Approx(i < 2 ? 0.5 : 0.0));
}

TEST_CASE("samples come as often as their probabilities say") {
  const std::vector<float> logits{std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  std::vector<int> times(3);
  for (uint64_t i = 0; i < 10000; ++i) ++times[sample(logits, drawn(1, 0, 1, 9), i)];
  const double share[]{0.5, 0.3, 0.2};
  for (size_t i = 0; i < 3; ++i)
    CHECK(std::abs(times[i] - 1e4 * share[i]) < 5 * std::sqrt(1e4 * share[i] * (1 - share[i])));
  for (uint64_t i = 0; i < 1000; ++i) CHECK(sample(logits, drawn(1, 1, 1, 9), i) == 0);
}

TEST_CASE("sampling refuses what it cannot do") {
  const std::vector<float> logits{0, 1};
  for (const SamplingOptions& o : {drawn(-1, 0, 1), drawn(1, -1, 1), drawn(1, 0, 0), drawn(1, 0, 1.5),
                                   drawn(std::nan(""), 0, 1), drawn(1, 0, std::nan(""))})
    CHECK_THROWS_WITH_AS(sample(logits, o, 0), doctest::Contains("[sampling]"), Error);
  CHECK_THROWS_AS(sample(std::vector<float>{0, NAN}, {}, 0), Error);
  CHECK_THROWS_AS(sample(std::vector<float>{-INFINITY, -INFINITY}, {}, 0), Error);
  CHECK_THROWS_AS(sample({}, {}, 0), Error);
}

TEST_CASE("GPT files keep the model and its tokenizer, and cut the table to the vocabulary") {
  TemporaryFolder folder;
  Gpt model = small_model(16, 64);
  const std::string path = save_gpt(folder.path(), model, byte_tokenizer()->record());
  CHECK(read_safetensors(path).at("transformer.wte.weight").shape() == Shape{53, 24});
  CHECK(read_safetensors(path).at("transformer.h.1.mlp.c_fc.weight").shape() == Shape{24, 96});
  const LoadedGpt loaded = load_gpt(path);
  CHECK(loaded.tokenizer == byte_tokenizer()->record());
  CHECK(loaded.model->options().heads == 3);
  const Tensor tokens = as_batch(some_tokens("file", 16, 53));
  const std::vector<float> ours = logits_of(model, tokens).values(), theirs = logits_of(*loaded.model, tokens).values();
  for (int64_t i = 0; i < 16; ++i)
    for (int64_t j = 0; j < 53; ++j) REQUIRE(ours[i * 64 + j] == doctest::Approx(theirs[i * 53 + j]).epsilon(1e-5));
}

TEST_CASE("files that are no GPT-2 are refused") {
  TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  const auto refused = [&](const std::function<void(std::vector<NamedTensor>&)>& change, const char* why) {
    std::vector<NamedTensor> tensors = read_safetensors(golden + "model.safetensors").tensors;
    change(tensors);
    write_safetensors(path, tensors);
    CHECK_THROWS_WITH_AS(load_gpt(path), doctest::Contains(why), Error);
  };
  const auto named = [](std::vector<NamedTensor>& all, const std::string& name) -> NamedTensor& {
    return *std::find_if(all.begin(), all.end(), [&](const NamedTensor& t) { return t.name == name; });
  };
  refused([&](auto& t) { named(t, "transformer.wte.weight").name = "other"; }, "has no 'wte.weight'");
  refused([&](auto& t) { named(t, "transformer.ln_f.bias").name = "other"; }, "has no 'ln_f.bias'");
  refused(
      [&](auto& t) {
        t.push_back({"transformer.other", Tensor::zeros({1})});
      },
      "'other', which GPT-2 has no place for");
  refused([&](auto& t) { named(t, "transformer.h.1.mlp.c_fc.weight").tensor = Tensor::zeros({96, 24}); }, "c_fc");
  refused([&](auto& t) { named(t, "transformer.wpe.weight").tensor = Tensor::zeros({24}); }, "wpe.weight");
  std::filesystem::copy_file(golden + "model.safetensors", path, std::filesystem::copy_options::overwrite_existing);
  for (const char* config : {R"({"model_type": "gpt2", "n_head": 5})", R"({"model_type": "gpt2", "n_head": "3"})",
                             R"({"model_type": "gpt2", "n_head": 3.5})", R"({"model_type": "gpt2", "n_head": 1e300})",
                             R"({"model_type": "gpt2", "n_head": 3, "layer_norm_epsilon": -1})",
                             R"({"model_type": "gpt2", "activation_function": "relu"})"}) {
    write_file_atomically(folder / "config.json", config);
    CHECK_THROWS_AS(load_gpt(path), Error);
  }
}

TEST_CASE("GPT files: a head that is the token table is taken, one of its own is refused and never dropped") {
  TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  std::vector<NamedTensor> tensors = read_safetensors(golden + "model.safetensors").tensors;
  const Tensor table = read_safetensors(golden + "model.safetensors").at("transformer.wte.weight");
  const std::string untied = R"({"model_type": "gpt2", "n_head": 3, "tie_word_embeddings": false})";
  write_file_atomically(folder / "config.json", untied);
  write_safetensors(path, tensors);
  CHECK_THROWS_WITH_AS(load_gpt(path), doctest::Contains("has no lm_head.weight"), Error);
  tensors.push_back({"lm_head.weight", table.clone()});
  write_safetensors(path, tensors);
  CHECK(load_gpt(path).model->vocabulary() == table.dim(0));
  tensors.back().tensor.data<float>()[5] += 1e-3f;
  for (const std::string& config : {untied, std::string(R"({"model_type": "gpt2", "n_head": 3})")}) {
    write_file_atomically(folder / "config.json", config);
    write_safetensors(path, tensors);
    CHECK_THROWS_WITH_AS(load_gpt(path), doctest::Contains("an output head of its own"), Error);
  }
}

TEST_CASE("a GPT-2 file: what was wrapped around it and put on top, an old config.json, and what has no place") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  const SafetensorsFile file = read_safetensors(golden + "model.safetensors");
  const Tensor tokens = as_batch(some_tokens("begin", 24, 53));
  const std::vector<float> expected = logits_of(*load_gpt(golden + "model.safetensors").model, tokens).values();
  write_file_atomically(folder / "config.json", R"({"n_head": 3})");  // old ones do not name their kind
  for (const char* wrapper : {"", "module.", "_orig_mod.transformer."}) {
    std::vector<NamedTensor> tensors;
    for (const NamedTensor& t : file.tensors) tensors.push_back({wrapper + t.name.substr(12), t.tensor});
    if (wrapper[0]) tensors.push_back({"score.weight", Tensor::zeros({2, 24})});
    write_safetensors(path, tensors);
    const LoadedGpt loaded = load_gpt(path);
    CHECK(logits_of(*loaded.model, tokens).values() == expected);
    CHECK(loaded.ignored == (wrapper[0] ? std::vector<std::string>{"score.weight"} : std::vector<std::string>()));
  }
  std::vector<NamedTensor> more = file.tensors;
  more.push_back({"transformer.h.0.crossattention.c_attn.bias", Tensor::zeros({24})});
  write_safetensors(path, more);
  CHECK_THROWS_WITH_AS(load_gpt(path), doctest::Contains("'h.0.crossattention.c_attn.bias', which GPT-2 has no place"),
                       Error);
}

TEST_CASE("a GPT begins with the weights of another of its sizes and its vocabulary") {
  Random random(7);
  const auto begins = [&](const GptOptions& options, int64_t vocabulary, int64_t rows = 0) {
    Gpt model(options, vocabulary, random, rows);
    const std::string said = fill_gpt(golden, model);
    return std::pair(said, logits_of(model, as_batch(some_tokens("begin", 24, 53))).values());
  };
  const GptOptions same{.layers = 2, .heads = 3, .width = 24, .context = 24};
  const auto [said, logits] = begins(same, 53, 64);
  CHECK(said.find("model.safetensors: a GPT-2 of 2 blocks") != std::string::npos);
  const Tensor tokens = as_batch(some_tokens("begin", 24, 53));
  const std::vector<float> theirs = logits_of(*load_gpt(golden + "model.safetensors").model, tokens).values();
  for (int64_t i = 0; i < 24; ++i)
    for (int64_t j = 0; j < 53; ++j) REQUIRE(logits[i * 64 + j] == doctest::Approx(theirs[i * 53 + j]).epsilon(1e-5));
  GptOptions other = same;
  other.heads = 4;
  CHECK_THROWS_WITH_AS(begins(other, 53), doctest::Contains("--layers 2 --heads 3 --width 24 --context 24"), Error);
  CHECK_THROWS_WITH_AS(begins(same, 54), doctest::Contains("a vocabulary of 53 tokens, but the data has 54"), Error);
}

TEST_CASE("dropout sites: one mask a site and batch") {
  const auto dropout_of = [](int64_t batch) {
    DropoutSites drop{0.5, 1, static_cast<uint64_t>(batch)};
    return drop(Tensor::full({64}, 1)).values();
  };
  CHECK(dropout_of(0) == dropout_of(0));
  CHECK(dropout_of(0) != dropout_of(1));
  DropoutSites drop{0.5, 1, 0};
  const Tensor ones = Tensor::full({64}, 1);
  CHECK(drop(ones).values() != drop(ones).values());  // each site has its own mask
}

}  // namespace gestalt::test
