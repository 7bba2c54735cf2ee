// Writing and reading encoder files.
#include "models/export.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <span>

#include "engine/run/fields_json.h"

namespace gestalt {
namespace {

// Moves axis 3 of a (O, KH, KW, I) filter to place 1, or back.
Tensor permute_filter(const Tensor& filter, bool to_oihw) {
  const Tensor source = filter.detach().to(Device::cpu).to(DType::f32);
  const int64_t o = source.dim(0), i = source.dim(to_oihw ? 3 : 1), area = source.count() / (o * i);
  Tensor result =
      Tensor::empty(to_oihw ? Shape{o, i, source.dim(1), source.dim(2)} : Shape{o, source.dim(2), source.dim(3), i});
  const float* from = source.data<float>();
  float* to = result.data<float>();
  for (int64_t a = 0; a < o; ++a)
    for (int64_t k = 0; k < area; ++k)
      for (int64_t c = 0; c < i; ++c) {
        const int64_t ohwi = (a * area + k) * i + c, oihw = (a * i + c) * area + k;
        to[to_oihw ? oihw : ohwi] = from[to_oihw ? ohwi : oihw];
      }
  return result;
}

void fill_parts(const std::string& path, const SafetensorsFile& file, Encoder& encoder) {
  for (NamedPart& p : parts(encoder)) {
    const Tensor& stored = file.at(p.name);
    const Tensor value = stored.rank() == 4 ? permute_filter(stored, false) : stored;
    check(value.shape() == p.tensor.shape(), "[encoder] {} has {} of shape {}, expected {}", path, p.name,
          value.shape().text(), p.tensor.shape().text());
    p.tensor.copy_from(value);
  }
}

constexpr const char* running_mean = "running_mean";
constexpr const char* batches_tracked = "num_batches_tracked";

// A tensor that is left out would be an encoder that is not the file's.
void refuse_others(const std::string& path, const SafetensorsFile& file, Encoder& encoder) {
  std::set<std::string> known;
  for (const NamedPart& p : parts(encoder)) known.insert(p.name);
  for (const NamedTensor& t : file.tensors)
    check(known.contains(t.name) || t.name.ends_with(batches_tracked),
          "[encoder] {} has a tensor '{}', which this encoder has no use for", path, t.name);
}

}  // namespace

Tensor filter_of_ours(const Tensor& oihw) { return permute_filter(oihw, false); }

std::vector<NamedTensor> exported_tensors(Encoder& encoder) {
  std::vector<NamedTensor> tensors;
  for (const NamedPart& p : parts(encoder)) {
    tensors.push_back({p.name, p.tensor.rank() == 4 ? permute_filter(p.tensor, true) : p.tensor.detach()});
    if (p.name.ends_with(running_mean)) {
      const std::string prefix = p.name.substr(0, p.name.size() - std::string(running_mean).size());
      tensors.push_back({prefix + batches_tracked, Tensor::zeros({}, DType::i32), true});
    }
  }
  return tensors;
}

void save_encoder(const std::string& path, Encoder& encoder, const EncoderInfo& info) {
  JsonWriter writer;
  EncoderOptions options = info.options;
  options.own_fields(writer);
  Metadata metadata = info.notes;
  metadata["format"] = "pt";
  metadata["gestalt.encoder"] = writer.object.dump();
  metadata["gestalt.image_size"] = std::to_string(info.image_size);
  write_safetensors(path, exported_tensors(encoder), metadata);
}

LoadedEncoder load_encoder(const std::string& path) {
  const SafetensorsFile file = read_safetensors(path);
  LoadedEncoder loaded;
  const auto options = file.metadata.find("gestalt.encoder"), size = file.metadata.find("gestalt.image_size");
  check(options != file.metadata.end() && size != file.metadata.end(),
        "[encoder] {} is no encoder of images that 'gestalt pretrain' wrote; a GPT has 'gestalt evaluate text'", path);
  JsonReader reader(path, parse_json(path, options->second));
  loaded.info.options.fields(reader);
  reader.finish();
  loaded.info.options = loaded.info.options.own();  // older files name the fields of every family
  const char* end = size->second.data() + size->second.size();
  const auto [stopped, error] = std::from_chars(size->second.data(), end, loaded.info.image_size);
  check(error == std::errc() && stopped == end && loaded.info.image_size >= 1 && loaded.info.image_size <= 16384,
        "[encoder] {} says that its images have a side of '{}', expected 1 to 16384", path, size->second);
  loaded.info.notes = file.metadata;
  Random random(0);
  loaded.encoder = make_encoder(loaded.info.options, loaded.info.image_size, random);
  fill_parts(path, file, *loaded.encoder);
  refuse_others(path, file, *loaded.encoder);
  return loaded;
}

void check_finite_parts(const std::string& path, Module& module) {
  for (const NamedPart& p : parts(module)) {
    const Tensor host = p.tensor.detach().to(Device::cpu).to(DType::f32);
    const std::span<const float> values(host.data<float>(), static_cast<size_t>(host.count()));
    check(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }),
          "[weights] {} holds NaN or an infinity in {}; take a checkpoint from before its run went wrong", path,
          p.name);
  }
}

void load_parts(const std::string& path, Encoder& encoder) { fill_parts(path, read_safetensors(path), encoder); }

}  // namespace gestalt
