// Rows of features, the list that names them, and the record that an interrupted run goes on from.
#include "tasks/evaluation/embed.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "engine/run/checksum.h"
#include "engine/run/csv.h"
#include "engine/run/files.h"
#include "engine/run/growing_file.h"
#include "engine/run/json.h"
#include "engine/run/utf8.h"
#include "engine/tensor/autograd.h"
#include "engine/tensor/npy.h"
#include "models/feature_map.h"

namespace gestalt {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::string checksum_of(Encoder& encoder) {
  Checksum sum;
  for (const NamedPart& p : parts(encoder)) {
    const Tensor host = p.tensor.detach().to(Device::cpu);
    sum.add(p.name).add(host.in().data, static_cast<size_t>(host.bytes()));
  }
  return sum.text();
}

// What decides the bytes that are written.
Json identity_of(Encoder& encoder, const AllImages& images, const ViewOptions& view, const EmbedOptions& options) {
  return {{"weights", checksum_of(encoder)},
          {"images", fmt::format("{:016x}", images.set->checksum())},
          {"number of images", images.set->size()},
          {"layer", options.layer},
          {"size", view.size},
          {"normalisation", view.normalisation},
          {"dtype", name(view.dtype)},
          {"device", name(view.device)},
          {"batch", view.batch}};
}

std::string stem_of(const std::string& out) {
  const fs::path path(out);
  check(path.extension() == ".npy" || path.extension() == ".csv",
        "[embed] got --out '{}', expected a name that ends in .npy or .csv", out);
  return out.substr(0, out.size() - 4);
}

// One call of embed().
class Embedding {
 public:
  Embedding(Encoder& encoder, const AllImages& images, const ViewOptions& view, const EmbedOptions& options)
      : encoder_(encoder),
        images_(images),
        view_(view),
        options_(options),
        stem_(stem_of(options.out)),
        table_(options.out.ends_with(".csv")),
        list_name_(table_ ? options.out : stem_ + ".files.csv"),
        record_name_(GrowingFile::partial_name(options.out) + ".json") {
    check(options.layer == "pooled" || options.layer == "patch", "[embed] got --layer {}, expected pooled or patch",
          options.layer);
    check(!table_ || options.layer == "pooled",
          "[embed] got --layer patch for a table, which has a row an image; give --out NAME.npy");
    identity_ = identity_of(encoder, images, view, options);
    go_on_or_begin();
  }

  EmbedResult run();

 private:
  void go_on_or_begin();
  void write(const ViewBatch& batch);
  void write_list_row(int64_t image, const float* features);
  void note_skipped(const ViewBatch& batch);
  void save();
  void finish();

  Encoder& encoder_;
  const AllImages& images_;
  const ViewOptions& view_;
  const EmbedOptions& options_;
  std::string stem_;
  bool table_;
  std::string list_name_, record_name_;
  Json identity_,
      state_ = {{"done", 0}, {"rows", 0}, {"array_bytes", 0}, {"list_bytes", 0}, {"skipped", Json::array()}};
  std::unique_ptr<GrowingFile> array_, list_;  // the first is null for a table
  Shape row_;                                  // of one image
  EmbedResult result_;
  Clock::time_point saved_ = Clock::now();
};

// What differs between two records, in words.
std::string difference(const Json& was, const Json& is) {
  std::string text;
  for (const auto& [key, value] : is.items())
    if (!was.contains(key) || was[key] != value)
      text += fmt::format("{}{} ({}, was {})", text.empty() ? "" : ", ", key, value.dump(),
                          was.contains(key) ? was[key].dump() : "none");
  return text;
}

void Embedding::go_on_or_begin() {
  std::error_code ignored;
  check(options_.overwrite || !fs::exists(options_.out, ignored),
        "[embed] '{}' exists; choose another name or give --overwrite", options_.out);
  const Json record =
      options_.overwrite || !fs::exists(record_name_, ignored) ? Json() : json_or_null(read_text(record_name_));
  if (record.is_object() && record.contains("of") && record.contains("state")) {
    const std::string differs = difference(record["of"], identity_);
    check(differs.empty(), "[embed] '{}' was begun with other {}; give the same, or --overwrite to begin anew",
          GrowingFile::partial_name(options_.out), differs);
    const auto holds = [&](const std::string& file, const char* bytes) {
      return GrowingFile::partial_bytes(file) >= record["state"].value(bytes, int64_t{1} << 62);
    };
    if (holds(list_name_, "list_bytes") && (table_ || holds(options_.out, "array_bytes"))) state_ = record["state"];
  }
  const auto bytes = [&](const char* key) { return state_[key].get<int64_t>(); };
  list_ = std::make_unique<GrowingFile>(list_name_, bytes("list_bytes"));
  if (!table_) array_ = std::make_unique<GrowingFile>(options_.out, bytes("array_bytes"));
  result_.resumed_at = bytes("done");
  if (bytes("done") > 0) return;
  if (array_) array_->write(npy_header({0}));
  std::string columns = "file,split,label";
  for (int64_t i = 0; table_ && i < encoder_.features(); ++i) columns += fmt::format(",f{}", i);
  list_->write(columns + "\n");
}

void Embedding::write_list_row(int64_t image, const float* features) {
  std::string line = fmt::format("{},{},{}", csv_cell(images_.set->image_name(image)),
                                 images_.splits[static_cast<size_t>(image)], csv_cell(images_.label_name(image)));
  for (int64_t i = 0; table_ && i < row_[0]; ++i) line += fmt::format(",{}", features[i]);
  list_->write(line + "\n");
}

void Embedding::note_skipped(const ViewBatch& batch) {
  std::vector<bool> seen(static_cast<size_t>(view_.batch), false);
  const int64_t first = (batch.end - 1) / view_.batch * view_.batch;
  for (int32_t i : batch.samples) seen[static_cast<size_t>(i - first)] = true;
  for (int64_t i = first; i < batch.end; ++i)
    if (!seen[static_cast<size_t>(i - first)]) {
      std::string reason = "is damaged";
      try {
        images_.set->decode(i);
      } catch (const DamagedImage& damaged) { reason = damaged.damage.reason; }
      state_["skipped"].push_back({utf8_from_bytes(images_.set->image_name(i)), utf8_from_bytes(reason)});
    }
}

void Embedding::write(const ViewBatch& batch) {
  if (const auto count = static_cast<int64_t>(batch.samples.size()); count > 0) {
    const Tensor features =
        (options_.layer == "patch" ? feature_map(encoder_, batch.images) : encoder_.forward(batch.images, false))
            .to(DType::f32)
            .to(Device::cpu);
    check_finite_features(features, "the encoder's features; was it trained with too high an --lr?");
    row_ = Shape(std::span(features.shape().begin() + 1, features.shape().end()));
    if (array_) array_->write(features.in().data, static_cast<size_t>(features.bytes()));
    for (int64_t i = 0; i < count; ++i)
      write_list_row(batch.samples[static_cast<size_t>(i)], features.data<float>() + i * row_.count());
    state_["rows"] = state_["rows"].get<int64_t>() + count;
    state_["row"] = std::vector<int64_t>(row_.begin(), row_.end());
  }
  note_skipped(batch);
  state_["done"] = batch.end;
}

void Embedding::save() {
  state_["list_bytes"] = list_->bytes();
  if (array_) state_["array_bytes"] = array_->bytes();
  write_file_atomically(record_name_, Json{{"of", identity_}, {"state", state_}}.dump(1) + "\n");
  saved_ = Clock::now();
}

void Embedding::finish() {
  const auto rows = state_["rows"].get<int64_t>();
  check(rows > 0, "[embed] no image of {} can be read", images_.set->name());
  std::vector<int64_t> extents{rows};
  for (const Json& extent : state_["row"]) extents.push_back(extent.get<int64_t>());
  result_.shape = Shape(std::span<const int64_t>(extents));
  if (array_) array_->overwrite(0, npy_header(result_.shape));
  const std::string skipped = stem_ + ".skipped.csv";
  std::string text = "file,reason\n";
  for (const Damage& d : result_.skipped) text += fmt::format("{},{}\n", csv_cell(d.file), csv_cell(d.reason));
  std::error_code ignored;
  fs::remove(skipped, ignored);
  if (!result_.skipped.empty()) write_file_atomically(skipped, text), result_.files.push_back(skipped);
  list_->commit();
  result_.files.insert(result_.files.begin(), list_name_);
  if (array_) array_->commit(), result_.files.insert(result_.files.begin(), options_.out);
  fs::remove(record_name_, ignored);
}

EmbedResult Embedding::run() {
  const NoGrad off;
  for_each_view(images_.set, view_, state_["done"].get<int64_t>(), [&](const ViewBatch& batch) {
    write(batch);
    if (options_.progress) options_.progress(batch.end);
    if (batch.end == images_.set->size()) return false;
    const bool stop = options_.stop && options_.stop();
    if (stop || Clock::now() - saved_ > std::chrono::duration<double>(options_.save_seconds)) save();
    return !stop;
  });
  result_.images = state_["done"].get<int64_t>();
  result_.ended = result_.images == images_.set->size();
  for (const Json& s : state_["skipped"])
    result_.skipped.push_back({bytes_from_utf8(s[0].get<std::string>()), bytes_from_utf8(s[1].get<std::string>())});
  if (result_.ended) finish();
  return result_;
}

}  // namespace

EmbedResult embed(Encoder& encoder, const AllImages& images, const ViewOptions& view, const EmbedOptions& options) {
  return Embedding(encoder, images, view, options).run();
}

}  // namespace gestalt
