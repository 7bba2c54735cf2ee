// What a run's encoder is shown and what it says of its data, as pictures in a report.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "engine/data/images/picture.h"
#include "engine/data/images/sources.h"
#include "engine/data/images/subset.h"
#include "engine/data/text/tokenizer.h"
#include "engine/nn/pca.h"
#include "engine/ops/knn.h"
#include "engine/run/files.h"
#include "engine/tensor/autograd.h"
#include "models/gpt_file.h"
#include "models/sampling.h"
#include "tasks/evaluation/features.h"
#include "tasks/evaluation/html.h"
#include "tasks/evaluation/image_probe.h"
#include "tasks/evaluation/likeness.h"
#include "tasks/evaluation/neighbours.h"
#include "tasks/evaluation/run_report.h"
#include "tasks/training/run.h"

namespace gestalt {
namespace {

constexpr int64_t shown_images = 8, shown_neighbours = 8, shown_views = 8, bank_factor = 5;
constexpr size_t most_classes = 20, mapped_images = 1500, shown_duplicates = 12, shown_confusions = 15;
constexpr int32_t tile = 64;

// `most` images spread over a set, or all.
std::shared_ptr<ImageSet> spread_over(const std::shared_ptr<ImageSet>& set, int64_t most) {
  if (set->size() <= most) return set;
  std::vector<int32_t> chosen;
  for (int64_t i = 0; i < most; ++i) chosen.push_back(static_cast<int32_t>(i * set->size() / most));
  return subset(set, std::move(chosen));
}

// Some that can be read, one after another as a loader gives them.
ImageBatch some_images(const ImageSet& set) {
  ImageBatch batch;
  std::vector<uint8_t> pixels;
  const int64_t count = std::min(shown_images, set.size());
  for (int64_t i = 0; i < count; ++i) {
    Image image;
    try {
      image = set.decode(i * set.size() / count);
    } catch (const DamagedImage&) { continue; }
    batch.samples.push_back(static_cast<int32_t>(batch.frames.size()));
    batch.frames.push_back({static_cast<int64_t>(pixels.size()), image.height, image.width});
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  check(!batch.frames.empty(), "[report] no image of {} can be read", set.name());
  batch.pixels = Tensor::from(std::span<const uint8_t>(pixels), {static_cast<int64_t>(pixels.size())});
  return batch;
}

// One report's pictures of one run: images that were learned from, then held-out ones, each a row.
class RunPictures {
 public:
  RunPictures(ImageMethod& method, const RunReportOptions& options) : method_(method), options_(options) {
    const ImageSplits& images = method.images();
    whole_bank_ = images.labelled() ? images.bank() : images.pretrain;
    learned_ = spread_over(whole_bank_, bank_factor * options.images);
    if (images.labelled()) held_ = spread_over(images.test, options.images);
  }

  std::string html();

 private:
  struct Row {
    const ImageSet* set;
    int32_t number, label;  // label −1: none
  };

  void encode(const std::shared_ptr<ImageSet>& set);
  std::string views() const;
  std::string reconstructions();
  std::string neighbours() const;
  std::string map() const;
  std::string confusion() const;
  std::string duplicates() const;
  std::string damage() const;

  html::Tile tile_of(int32_t row) const;
  int32_t count() const { return static_cast<int32_t>(rows_.size()); }
  // Rows to show: held-out ones where there are any.
  int32_t first_shown() const { return bank_ < count() ? bank_ : 0; }
  std::string name_of(const Row& row) const {
    return row.set->image_name(row.number) +
           (row.label < 0 ? "" : ", " + row.set->class_names()[static_cast<size_t>(row.label)]);
  }

  ImageMethod& method_;
  const RunReportOptions& options_;
  std::shared_ptr<ImageSet> whole_bank_, learned_, held_;  // held_: null where nothing is
  std::vector<float> values_;
  std::vector<uint8_t> thumbnails_;
  std::vector<Row> rows_;
  int32_t bank_ = 0;  // rows that were learned from
  Tensor features_;   // (rows, D) f32, on the host
  Neighbours nearest_;
};

void RunPictures::encode(const std::shared_ptr<ImageSet>& set) {
  const NoGrad off;
  const Normalisation plain = normalisation("none");
  for_each_view(set, view_options(method_), 0, [&](const ViewBatch& batch) {
    if (batch.samples.empty()) return true;
    for (float v : method_.encoder().forward(batch.images, false).to(Device::cpu).to(DType::f32).values())
      values_.push_back(v);
    for (float v : evaluation_view(batch.pixels, batch.frames, thumbnail_side, plain).values())
      thumbnails_.push_back(display_byte(v, 0, plain));
    for (int32_t i : batch.samples)
      rows_.push_back({set.get(), i, set->labels().empty() ? -1 : set->labels()[static_cast<size_t>(i)]});
    return true;
  });
}

std::string RunPictures::views() const {
  const ImageBatch shown = some_images(*spread_over(method_.images().pretrain, shown_images));
  const ViewGroup group = method_.wants().groups.at(0);
  const auto count = static_cast<int64_t>(shown.frames.size());
  const auto views = std::min<int64_t>(shown_views, static_cast<int64_t>(group.views.size()));
  const Normalisation back = normalisation(method_.augment.normalise);
  const Tensor drawn =
      augment(shown.pixels, shown.frames, shown.samples, std::span(group.views).first(static_cast<size_t>(views)),
              group.size, static_cast<uint64_t>(method_.run.seed), 0);
  Tensor sheet = Tensor::empty({(1 + views) * count, group.size, group.size, 3});
  sheet.slice(0, count).copy_from(evaluation_view(shown.pixels, shown.frames, group.size, back));
  sheet.slice(count, (1 + views) * count).copy_from(drawn);
  return html::picture(
      encode_picture(draw_sheet(sheet, count, back)),
      fmt::format("What the encoder is shown: {} images as evaluations see them, and below {} of each as training "
                  "draws {}, at {} × {} pixels",
                  count, views == 1 ? "the view" : fmt::format("{} views", views), views == 1 ? "it" : "them",
                  group.size, group.size));
}

std::string RunPictures::reconstructions() {
  const ImageBatch shown = some_images(*(held_ ? held_ : learned_));
  const Tensor centre = evaluation_view(shown.pixels.to(method_.run.resolved_device()), shown.frames,
                                        method_.image_size, normalisation(method_.augment.normalise));
  const std::optional<Picture> painted = method_.picture(centre, 0);
  return painted ? html::picture(encode_picture(*painted), painted->caption) : "";
}

html::Tile RunPictures::tile_of(int32_t row) const {
  const Row& r = rows_[static_cast<size_t>(row)];
  Image image = r.set->decode(r.number);
  image = resize_image(std::move(image), {.short_side = std::min({tile, image.height, image.width}), .crop = true});
  return {encode_png(image.pixels.data(), image.height, image.width), name_of(r)};
}

std::string RunPictures::neighbours() const {
  std::vector<std::vector<html::Tile>> shown;
  const int32_t first = first_shown(), of = count() - first;
  const auto queries = std::min(static_cast<int32_t>(shown_images), of);
  const int64_t beside = std::min(nearest_.k, shown_neighbours);
  for (int32_t i = 0; i < queries; ++i) {
    const int32_t row = first + static_cast<int32_t>(int64_t{i} * of / queries);
    auto& line = shown.emplace_back(std::vector<html::Tile>{tile_of(row)});
    for (int64_t j = 0; j < beside; ++j) {
      const auto at = static_cast<size_t>(row * nearest_.k + j);
      html::Tile& near = line.emplace_back(tile_of(nearest_.index[at]));
      near.title += fmt::format(", cosine {:.3f}", nearest_.cosine[at]);
      const int32_t own = rows_[static_cast<size_t>(row)].label;
      const int32_t other = rows_[static_cast<size_t>(nearest_.index[at])].label;
      if (own >= 0 && other >= 0) near.frame = own == other ? "right" : "wrong";
    }
  }
  return "<h3>Neighbours</h3>\n" +
         html::paragraph(
             fmt::format("{} {} images, each with its {} nearest of the {} that were looked at, by cosine of the "
                         "features{}. Point at one for its name.",
                         queries, held_ ? "held-out" : "training", beside, count(),
                         rows_[static_cast<size_t>(first)].label < 0 ? "" : "; green: the same class, red: another"),
             "dim") +
         html::tiles(shown);
}

std::string RunPictures::map() const {
  const int32_t first = first_shown();
  if (features_.dim(1) < 2) return html::paragraph("The map left out: features have one dimension.", "dim");
  const std::vector<float> at = pca_whiten(features_.slice(first, count()), 2).values();
  const std::vector<std::string>& names = learned_->class_names();
  const bool coloured = rows_[static_cast<size_t>(first)].label >= 0 && names.size() <= most_classes;
  std::vector<html::Point> points;
  const size_t of = at.size() / 2, shown = std::min(mapped_images, of);
  for (size_t i = 0; i < shown; ++i) {
    const size_t row = i * of / shown;
    const Row& r = rows_[static_cast<size_t>(first) + row];
    points.push_back({at[2 * row], at[2 * row + 1], coloured ? r.label : -1, name_of(r)});
  }
  return "<h3>Map of the features</h3>\n" +
         html::paragraph(fmt::format("{} {} images along the two directions in which their features vary most (PCA), "
                                     "each in its deviations.",
                                     shown, held_ ? "held-out" : "training"),
                         "dim") +
         html::scatter(points, coloured ? names : std::vector<std::string>{});
}

// Held-out images are classified by their neighbours among those that were learned from, as the probe does.
std::string RunPictures::confusion() const {
  if (!held_ || bank_ == count()) return "";
  std::vector<int32_t> bank_labels, labels;
  for (int32_t i = 0; i < count(); ++i)
    (i < bank_ ? bank_labels : labels).push_back(rows_[static_cast<size_t>(i)].label);
  const std::vector<std::string>& names = learned_->class_names();
  const auto classes = static_cast<int64_t>(names.size());
  const auto* probe = dynamic_cast<const ImageProbe*>(method_.probe.get());
  const KnnOptions knn = (probe ? probe->knn : KnnOptions()).of_bank(bank_);
  const std::vector<int32_t> taken = knn_predict(features_.slice(bank_, count()), features_.slice(0, bank_),
                                                 Tensor::from(bank_labels, {bank_}), knn.k, knn.temperature, classes);
  std::vector<int64_t> counts(static_cast<size_t>(classes * classes), 0);
  for (size_t i = 0; i < labels.size(); ++i) ++counts[static_cast<size_t>(labels[i] * classes + taken[i])];
  const double accuracy = percent_right(taken, labels);
  const auto queries = static_cast<int64_t>(labels.size());
  const Interval i = binomial_interval(accuracy, queries);
  const bool whole = learned_ == whole_bank_ && held_ == method_.images().test;
  std::string body =
      "<h3>What is taken for what</h3>\n" +
      html::paragraph(fmt::format("{:.2f} % right, 95 % interval {:.2f} to {:.2f}: {}; bank {} train images, {} test "
                                  "images{}",
                                  accuracy, i.low, i.high, knn.protocol(), bank_, queries,
                                  whole ? ". These are all, so it is what 'gestalt evaluate knn' measures."
                                        : fmt::format(", spread over {} and {}; 'gestalt evaluate knn' takes all.",
                                                      whole_bank_->size(), method_.images().test->size())),
                      "dim");
  if (names.size() <= most_classes) return body + html::confusion(names, counts);
  std::vector<size_t> order(counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t at) { return at / names.size() == at % names.size() || counts[at] == 0; });
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return counts[a] > counts[b]; });
  if (order.size() > shown_confusions) order.resize(shown_confusions);
  std::vector<std::vector<html::Cell>> rows;
  for (size_t at : order)
    rows.push_back({names[at / names.size()], names[at % names.size()], fmt::format("{}", counts[at])});
  return body + html::table({"class", "taken for", "times"}, rows);
}

// Of each image's three nearest, those whose pixels agree too.
std::string RunPictures::duplicates() const {
  constexpr float near = 0.9f;
  constexpr double alike = 0.96;
  std::vector<std::pair<int32_t, int32_t>> pairs;
  for (int32_t row = 0; row < count(); ++row)
    for (int64_t j = 0; j < std::min<int64_t>(3, nearest_.k); ++j) {
      const auto at = static_cast<size_t>(row * nearest_.k + j);
      if (nearest_.cosine[at] >= near) pairs.push_back(std::minmax(row, nearest_.index[at]));
    }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  std::vector<double> agree(pairs.size());
  parallel_for(static_cast<int64_t>(pairs.size()), static_cast<int>(options_.threads), [&](int64_t i) {
    const auto& [a, b] = pairs[static_cast<size_t>(i)];
    agree[static_cast<size_t>(i)] = agreement(&thumbnails_[static_cast<size_t>(a * thumbnail_bytes)],
                                              &thumbnails_[static_cast<size_t>(b * thumbnail_bytes)]);
  });
  std::vector<std::vector<html::Tile>> shown;
  int64_t found = 0, across = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (agree[i] < alike) continue;
    ++found, across += pairs[i].first < bank_ && pairs[i].second >= bank_;
    if (shown.size() < shown_duplicates) shown.push_back({tile_of(pairs[i].first), tile_of(pairs[i].second)});
  }
  std::string text =
      fmt::format("{} pairs of duplicates or nearly so among the {} images that were looked at", found, count());
  if (across > 0)
    text +=
        fmt::format("; {} of them a held-out image and one that was learned from, which flatters accuracies", across);
  return "<h3>Duplicates</h3>\n" +
         html::paragraph(text + ". 'gestalt look' looks at all of a source, and lists them.",
                         across > 0 ? "warn" : "dim") +
         (shown.empty() ? "" : "<div class=\"pairs\">" + html::tiles(shown) + "</div>\n");
}

std::string RunPictures::damage() const {
  std::string text;
  std::vector<const ImageSet*> seen;
  for (const auto& set : {method_.images().pretrain, method_.images().train, method_.images().test, learned_, held_}) {
    if (!set || std::find(seen.begin(), seen.end(), set.get()) != seen.end()) continue;
    seen.push_back(set.get());
    const std::string said = set->damage().any() ? set->damage().text() : "";
    if (!said.empty() && text.find(said) == text.npos) text += (text.empty() ? "" : "\n") + said;
  }
  return "<h3>Damaged files</h3>\n" +
         html::paragraph(text.empty() ? "None was met." : text, text.empty() ? "dim" : "warn");
}

std::string RunPictures::html() {
  std::string body = views() + reconstructions();
  encode(learned_);
  bank_ = count();
  if (held_) encode(held_);
  check(count() >= 3, "[report] {} of the images of {} can be read, expected 3 or more", count(), learned_->name());
  features_ = Tensor::from(values_, {count(), static_cast<int64_t>(values_.size()) / count()});
  check_finite_features(features_, "the encoder's features; was it trained with too high an --lr?");
  nearest_ = nearest_neighbours(features_, shown_neighbours, static_cast<int>(options_.threads));
  return body + neighbours() + map() + confusion() + duplicates() + damage();
}

// A text that a finished GPT writes.
std::string sample_of_text(const RunRecord& run) {
  const std::string file = run.folder + "/gpt2/model.safetensors";
  std::error_code ignored;
  check(std::filesystem::exists(file, ignored), "it writes its model when it has ended");
  const LoadedGpt loaded = load_gpt(file);
  const std::string bpe = run.config.contains("bpe") && run.config["bpe"].is_string() ? run.config["bpe"].text() : "";
  const auto tokenizer = tokenizer_from_record(loaded.tokenizer, expand_home(bpe));
  const std::vector<int32_t> prompt = tokenizer->encode("\n");
  const SamplingOptions sampling{.temperature = 0.8};
  std::vector<int32_t> written = generate(*loaded.model, prompt, 300, sampling, DType::f32, tokenizer->end_of_text());
  std::erase_if(written, [&](int32_t id) { return id >= tokenizer->vocabulary() || id == tokenizer->end_of_text(); });
  return html::paragraph("What it writes, at temperature 0.8 and with seed 1, from an empty line on:", "dim") +
         "<pre>" + html::escape(tokenizer->decode(written)) + "</pre>\n";
}

}  // namespace

std::string run_pictures(const RunRecord& run, const RunReportOptions& options, Method* trained) {
  std::unique_ptr<Method> again;
  if (!trained) {
    again = method_of_run(run.folder);
    trained = again.get();
    if (trained->modality() == Modality::text) return sample_of_text(run);
    if (!options.data.empty()) trained->run.data = expand_home(options.data);
    trained->run.threads = options.threads;
    trained->open();
    load_run(run.folder, *trained);
  }
  if (trained->modality() == Modality::text) return sample_of_text(run);
  return RunPictures(dynamic_cast<ImageMethod&>(*trained), options).html();
}

}  // namespace gestalt
