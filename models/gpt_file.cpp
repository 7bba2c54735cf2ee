// Writing and reading GPT-2 files.
#include "models/gpt_file.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/run/fields_json.h"
#include "engine/run/files.h"
#include "engine/tensor/safetensors.h"
#include "models/export.h"

namespace gestalt {
namespace {

constexpr const char* tokenizer_key = "gestalt.tokenizer";
constexpr const char* prefix = "transformer.";
constexpr const char* config_file = "config.json";

// Ours and theirs within a block. Their four matrices are stored (in, out).
const std::vector<std::pair<std::string, std::string>> block_names{
    {"norm1.", "ln_1."},           {"norm2.", "ln_2."},
    {"attn.qkv.", "attn.c_attn."}, {"attn.proj.", "attn.c_proj."},
    {"mlp.fc1.", "mlp.c_fc."},     {"mlp.fc2.", "mlp.c_proj."}};

std::string their_name(std::string name) {
  for (const auto& [ours, theirs] : block_names)
    if (const size_t at = name.find(ours); at != std::string::npos) name.replace(at, ours.size(), theirs);
  return name;
}

bool is_transposed(const NamedPart& part) { return part.tensor.rank() == 2 && part.name.starts_with("h."); }

Tensor transposed(const Tensor& matrix) {
  const Tensor source = matrix.detach().to(Device::cpu).to(DType::f32);
  const int64_t rows = source.dim(0), columns = source.dim(1);
  Tensor result = Tensor::empty({columns, rows});
  const float* from = source.data<float>();
  float* to = result.data<float>();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  return result;
}

nlohmann::ordered_json config_of(const Gpt& model) {
  const GptOptions& o = model.options();
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"vocab_size", model.vocabulary()},
          {"n_positions", o.context},
          {"n_embd", o.width},
          {"n_layer", o.layers},
          {"n_head", o.heads},
          {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", o.epsilon},
          {"tie_word_embeddings", true},
          {"bos_token_id", nullptr},
          {"eos_token_id", nullptr}};
}

constexpr const char* head_name = "lm_head.weight";

// The file's tensors by name without "transformer.", less the masks that old files carry.
std::map<std::string, Tensor> tensors_of(const std::string& path, const SafetensorsFile& file) {
  std::map<std::string, Tensor> tensors;
  for (const NamedTensor& t : file.tensors) {
    const std::string name = t.name.starts_with(prefix) ? t.name.substr(std::string(prefix).size()) : t.name;
    if (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")) continue;
    check(tensors.emplace(name, t.tensor).second, "[gpt] {} has {} twice", path, name);
  }
  return tensors;
}

Tensor part_of(const std::string& path, const std::map<std::string, Tensor>& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  check(found != tensors.end(), "[gpt] {} has no '{}'; expected a GPT-2 in Hugging Face's layout", path, name);
  return found->second;
}

// What the shapes say, and the config.json beside the weights.
GptOptions options_of(const std::string& path, const std::map<std::string, Tensor>& tensors) {
  const Tensor& positions = part_of(path, tensors, "wpe.weight");
  check(positions.rank() == 2, "[gpt] {} has wpe.weight of shape {}, expected (context, width)", path,
        positions.shape().text());
  GptOptions options{.layers = 0, .width = positions.dim(1), .context = positions.dim(0)};
  while (tensors.contains("h." + std::to_string(options.layers) + ".ln_1.weight")) ++options.layers;
  options.heads = std::max<int64_t>(1, options.width / 64);
  const std::filesystem::path config = std::filesystem::path(path).parent_path() / config_file;
  if (!std::filesystem::exists(config)) return options;
  const nlohmann::ordered_json json = parse_json(config, read_text(config));
  const auto text = [&](const char* key, const char* fallback) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : std::string(fallback);
  };
  if (text("model_type", "") != "gpt2") return options;  // of something else in the same folder
  const std::string activation = text("activation_function", "gelu_new");
  check(activation == "gelu_new" || activation == "gelu_pytorch_tanh",
        "[gpt] {} has the activation '{}', expected gelu_new", config.string(), activation);
  const auto is = [&](const char* key, bool fallback) {
    return json.contains(key) && json[key].is_boolean() ? json[key].get<bool>() : fallback;
  };
  check(is("scale_attn_weights", true) && !is("scale_attn_by_inverse_layer_idx", false),
        "[gpt] {} scales attention in another way than GPT-2", config.string());
  check(is("tie_word_embeddings", true) || tensors.contains(head_name),
        "[gpt] {} says that the output head is not the token table, but {} has no {}", config.string(), path,
        head_name);
  const auto number = [&](const char* key, const char* field) {
    nlohmann::ordered_json given = nlohmann::ordered_json::object();
    if (json.contains(key)) given[field] = json[key];
    return JsonReader(config.string() + " (" + key + ")", given);
  };
  JsonReader heads = number("n_head", "heads"), epsilon = number("layer_norm_epsilon", "norm-epsilon");
  options.fields(heads);
  options.fields(epsilon);
  return options;
}

// The logits come from the token table. A file's head has to be that table, or it would be another model.
void take_head(const std::string& path, std::map<std::string, Tensor>& tensors, const Tensor& table) {
  const auto head = tensors.extract(head_name);
  if (head.empty()) return;
  const Tensor& matrix = head.mapped();
  check(matrix.shape() == table.shape() && matrix.values() == table.values(),
        "[gpt] {} has an output head of its own: {} is not the token table. Gestalt's GPT has one table for both, so "
        "this model cannot be kept as it is",
        path, head_name);
}

}  // namespace

std::string save_gpt(const std::string& folder, Gpt& model, const std::string& tokenizer,
                     const std::map<std::string, std::string>& notes) {
  std::filesystem::create_directories(folder);
  std::vector<NamedTensor> tensors;
  for (const NamedPart& p : parts(model)) {
    Tensor value = is_transposed(p) ? transposed(p.tensor) : p.tensor.detach();
    if (p.name == "wte.weight") value = value.slice(0, model.vocabulary());
    tensors.push_back({prefix + their_name(p.name), value});
  }
  Metadata metadata = notes;
  metadata["format"] = "pt";
  metadata[tokenizer_key] = tokenizer;
  const std::string path = folder + "/model.safetensors";
  write_safetensors(path, tensors, metadata);
  write_file_atomically(folder + "/" + config_file, config_of(model).dump(2) + "\n");
  return path;
}

std::string find_gpt(const std::string& path) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"gpt2/model.safetensors", "model.safetensors"})
    if (fs::exists(fs::path(path) / name)) return fs::path(path) / name;
  check(!fs::exists(fs::path(path) / "encoder.safetensors"), "[gpt] '{}' holds an encoder of images, expected a GPT",
        path);
  check(!fs::exists(fs::path(path) / "checkpoint.safetensors"),
        "[gpt] the run in '{}' has not ended, and writes its model then; go on with: gestalt pretrain gpt --resume {}",
        path, path);
  fail("[gpt] got '{}', expected the folder of a GPT run, or a model.safetensors", path);
}

LoadedGpt load_gpt(const std::string& path) {
  const SafetensorsFile file = read_safetensors(path);
  std::map<std::string, Tensor> tensors = tensors_of(path, file);
  const Tensor& table = part_of(path, tensors, "wte.weight");
  const GptOptions options = options_of(path, tensors);
  take_head(path, tensors, table);
  check(table.rank() == 2 && options.layers > 0, "[gpt] {} has a token table {} and {} blocks, expected a GPT-2", path,
        table.shape().text(), options.layers);
  Random random(0);
  LoadedGpt loaded{std::make_unique<Gpt>(options, table.dim(0), random), {}};
  const std::vector<NamedPart> all = parts(*loaded.model);
  for (NamedPart p : all) {
    const Tensor& stored = part_of(path, tensors, their_name(p.name));
    const Tensor value = is_transposed(p) && stored.rank() == 2 ? transposed(stored) : stored;
    check(value.shape() == p.tensor.shape(), "[gpt] {} has {} of shape {}, expected {}{}", path, their_name(p.name),
          stored.shape().text(), p.tensor.shape().text(), is_transposed(p) ? " transposed" : "");
    p.tensor.copy_from(value);
  }
  check(all.size() == tensors.size(), "[gpt] {} has {} tensors, expected {}", path, tensors.size(), all.size());
  check_finite_parts(path, *loaded.model);
  if (const auto record = file.metadata.find(tokenizer_key); record != file.metadata.end())
    loaded.tokenizer = record->second;
  return loaded;
}

std::string fill_gpt(const std::string& given, Gpt& model) {
  const std::string path = find_gpt(given);
  const LoadedGpt loaded = load_gpt(path);
  const GptOptions &theirs = loaded.model->options(), &ours = model.options();
  check(theirs.layers == ours.layers && theirs.heads == ours.heads && theirs.width == ours.width &&
            theirs.context == ours.context && theirs.epsilon == ours.epsilon,
        "[init] {} holds another GPT; say --layers {} --heads {} --width {} --context {} --norm-epsilon {}", path,
        theirs.layers, theirs.heads, theirs.width, theirs.context, theirs.epsilon);
  check(loaded.model->vocabulary() == model.vocabulary(),
        "[init] {} has a vocabulary of {} tokens, but the data has {}; train on tokens of the same tokenizer", path,
        loaded.model->vocabulary(), model.vocabulary());
  std::map<std::string, Tensor> values;
  for (const NamedPart& p : parts(*loaded.model)) values.emplace(p.name, p.tensor);
  for (NamedPart& p : parts(model)) {
    const Tensor& value = values.at(p.name);
    Tensor to =
        p.name == "wte.weight" ? p.tensor.detach().slice(0, value.dim(0)) : p.tensor;  // the table may have more rows
    to.copy_from(value);
  }
  return fmt::format("{}: a GPT-2 of {} blocks", path, theirs.layers);
}

}  // namespace gestalt
