// Features and thumbnails in one pass, then tables and sheets.
#include "tasks/evaluation/look.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "engine/data/images/augment.h"
#include "engine/data/images/picture.h"
#include "engine/data/images/sources.h"
#include "engine/run/csv.h"
#include "engine/run/files.h"
#include "engine/tensor/autograd.h"
#include "tasks/evaluation/likeness.h"
#include "tasks/evaluation/neighbours.h"
#include "tasks/evaluation/oddness.h"

namespace gestalt {
namespace {

constexpr size_t sheet_images = 64;
constexpr int32_t tile = 96;
constexpr int64_t sheet_columns = 8, shown_queries = 12;

// One call of look(). Rows are those of the features; images_ may have more, which cannot be read.
class Look {
 public:
  Look(Encoder& encoder, const AllImages& images, const AllImages& stored, const ViewOptions& view,
       const LookOptions& options, const std::string& out)
      : images_(images), stored_(stored), view_(view), options_(options), out_(out) {
    check_fields(LookOptions(options));
    check(images.set->size() == stored.set->size(), "[look] got {} images and {} stored ones", images.set->size(),
          stored.set->size());
    std::error_code error;
    check(options.overwrite || !std::filesystem::exists(out + "/neighbours.csv", error),
          "[look] '{}' holds another look; choose another --out or give --overwrite", out);
    std::filesystem::create_directories(out, error);
    check(!error, "[look] cannot make the folder '{}': {}", out, error.message());
    encode(encoder);
  }

  LookResult run();

 private:
  void encode(Encoder& encoder);
  void find_duplicates();
  bool same_pixels(int32_t a, int32_t b) const;
  void group_duplicates();
  void write_neighbours();
  void write_duplicates();
  void write_outliers();
  void write_chosen();
  std::string name_of(int64_t row) const { return csv_cell(images_.set->image_name(samples_[row])); }
  std::string cells_of(int64_t row) const {  // file, split, label
    return fmt::format("{},{},{}", name_of(row), images_.splits[samples_[row]],
                       csv_cell(images_.label_name(samples_[row])));
  }
  void draw(const std::string& file, const std::vector<int32_t>& rows, int64_t columns) const;
  void say(const std::string& text) { result_.said.push_back(text); }

  const AllImages &images_, &stored_;
  const ViewOptions& view_;
  const LookOptions& options_;
  std::string out_;
  Tensor features_;               // (N, D)
  std::vector<int32_t> samples_;  // (N), which image a row is
  std::vector<uint8_t> thumbnails_;
  Neighbours nearest_;
  std::vector<PixelFigures> figures_;  // (N)
  std::vector<int32_t> strangest_;     // rows
  std::vector<bool> repeats_another_;  // (N), an earlier image that is its duplicate
  LookResult result_;
};

void Look::encode(Encoder& encoder) {
  const NoGrad off;
  const int64_t most = images_.set->size();
  features_ = Tensor::empty({most, encoder.features()}, DType::f32, view_.device);
  const Normalisation plain = normalisation("none");
  for_each_view(images_.set, view_, 0, [&](const ViewBatch& batch) {
    if (batch.samples.empty()) return true;
    const auto first = static_cast<int64_t>(samples_.size()), count = static_cast<int64_t>(batch.samples.size());
    features_.slice(first, first + count).copy_from(encoder.forward(batch.images, false));
    for (float v : evaluation_view(batch.pixels, batch.frames, thumbnail_side, plain).values())
      thumbnails_.push_back(display_byte(v, 0, plain));
    const std::vector<float> views = evaluation_view(batch.pixels, batch.frames, view_.size, plain).values();
    for (int64_t i = 0; i < count; ++i)
      figures_.push_back(pixel_figures(views.data() + i * view_.size * view_.size * 3, view_.size));
    samples_.insert(samples_.end(), batch.samples.begin(), batch.samples.end());
    return true;
  });
  result_.images = static_cast<int64_t>(samples_.size());
  check(result_.images >= 2, "[look] {} of the {} images of {} can be read, expected 2 or more", result_.images, most,
        images_.set->name());
  if (result_.images < most) features_ = features_.slice(0, result_.images);
  check_finite_features(features_, "the encoder's features; was it trained with too high an --lr?");
}

bool Look::same_pixels(int32_t a, int32_t b) const {
  try {
    const Image x = stored_.set->decode(samples_[a]), y = stored_.set->decode(samples_[b]);
    return x.height == y.height && x.width == y.width && x.pixels == y.pixels;
  } catch (const DamagedImage&) { return false; }
}

// Of each image with the neighbours that are near enough, those whose pixels agree.
void Look::find_duplicates() {
  std::vector<DuplicatePair> pairs;
  for (int64_t row = 0; row < result_.images; ++row)
    for (int64_t j = 0; j < nearest_.k; ++j) {
      const int32_t other = nearest_.index[row * nearest_.k + j];
      const float cosine = nearest_.cosine[row * nearest_.k + j];
      if (static_cast<double>(cosine) < options_.near) break;
      const auto own = static_cast<int32_t>(row);
      pairs.push_back({std::min(own, other), std::max(own, other), static_cast<double>(cosine), 0, false});
    }
  const auto place = [](const DuplicatePair& p) { return std::pair(p.first, p.second); };
  std::sort(pairs.begin(), pairs.end(),
            [&](const DuplicatePair& a, const DuplicatePair& b) { return place(a) < place(b); });
  pairs.erase(std::unique(pairs.begin(), pairs.end(),
                          [&](const DuplicatePair& a, const DuplicatePair& b) { return place(a) == place(b); }),
              pairs.end());
  parallel_for(static_cast<int64_t>(pairs.size()), view_.threads, [&](int64_t i) {
    DuplicatePair& p = pairs[i];
    p.agreement = agreement(&thumbnails_[p.first * thumbnail_bytes], &thumbnails_[p.second * thumbnail_bytes]);
    p.exact = p.agreement >= std::max(0.99, options_.pixels) && same_pixels(p.first, p.second);
  });
  std::erase_if(pairs, [&](const DuplicatePair& p) { return p.agreement < options_.pixels; });
  result_.duplicates = std::move(pairs);
}

// Numbers the groups that the pairs join, in the order of their first images.
void Look::group_duplicates() {
  std::vector<int32_t> root(static_cast<size_t>(result_.images));
  std::iota(root.begin(), root.end(), 0);
  const auto find = [&](int32_t row) {
    while (root[row] != row) row = root[row] = root[root[row]];
    return row;
  };
  for (const DuplicatePair& p : result_.duplicates) {
    const int32_t a = find(p.first), b = find(p.second);
    root[std::max(a, b)] = std::min(a, b);
  }
  repeats_another_.assign(root.size(), false);
  std::vector<int32_t> number(root.size(), -1);
  for (DuplicatePair& p : result_.duplicates) {
    int32_t& group = number[find(p.first)];
    if (group < 0) group = static_cast<int32_t>(result_.groups++);
    p.group = group;
    if (find(p.first) != p.first) repeats_another_[p.first] = true;
    repeats_another_[p.second] = true;
    result_.across_splits += images_.splits[samples_[p.first]] != images_.splits[samples_[p.second]];
  }
  std::stable_sort(result_.duplicates.begin(), result_.duplicates.end(),
                   [](const DuplicatePair& a, const DuplicatePair& b) { return a.group < b.group; });
}

// `rows` as squares on a sheet, or nothing where there are none.
void Look::draw(const std::string& file, const std::vector<int32_t>& rows, int64_t columns) const {
  if (rows.empty()) return;
  std::vector<uint8_t> pixels;
  std::vector<kernels::Frame> frames;
  for (int32_t row : rows) {
    const Image image = resize_image(stored_.set->decode(samples_[row]), {.short_side = tile, .crop = true});
    frames.push_back({static_cast<int64_t>(pixels.size()), image.height, image.width});
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  const Tensor block = Tensor::from(std::span<const uint8_t>(pixels), {static_cast<int64_t>(pixels.size())});
  const Normalisation plain = normalisation("none");
  write_picture(out_ + "/" + file, draw_sheet(evaluation_view(block, frames, tile, plain), columns, plain));
}

void Look::write_neighbours() {
  AtomicFile file(out_ + "/neighbours.csv");
  file.write("file,rank,neighbour,cosine\n");
  for (int64_t row = 0; row < result_.images; ++row)
    for (int64_t j = 0; j < nearest_.k; ++j)
      file.write(fmt::format("{},{},{},{:.6f}\n", name_of(row), j + 1, name_of(nearest_.index[row * nearest_.k + j]),
                             nearest_.cosine[row * nearest_.k + j]));
  file.commit();
  std::vector<int32_t> shown;
  const int64_t queries = std::min(shown_queries, result_.images), beside = std::min<int64_t>(nearest_.k, 8);
  for (int64_t i = 0; i < queries; ++i) {
    const int64_t row = i * result_.images / queries;
    shown.push_back(static_cast<int32_t>(row));
    for (int64_t j = 0; j < beside; ++j) shown.push_back(nearest_.index[row * nearest_.k + j]);
  }
  draw("neighbours.png", shown, 1 + beside);
  say(
      fmt::format("neighbours.csv: the {} nearest of each; .png: a row an image, then its nearest, for {} images "
                  "spread over the data",
                  nearest_.k, queries));
}

void Look::write_duplicates() {
  std::string text = "group,kind,file,split,other,other_split,cosine,pixels\n";
  std::vector<int32_t> shown;
  int64_t exact = 0;
  for (const DuplicatePair& p : result_.duplicates) {
    exact += p.exact;
    text += fmt::format("{},{},{},{},{},{},{:.6f},{:.4f}\n", p.group, p.exact ? "exact" : "near", name_of(p.first),
                        images_.splits[samples_[p.first]], name_of(p.second), images_.splits[samples_[p.second]],
                        p.cosine, p.agreement);
    if (shown.size() < sheet_images) shown.insert(shown.end(), {p.first, p.second});
  }
  write_file_atomically(out_ + "/duplicates.csv", text);
  draw("duplicates.png", shown, sheet_columns);
  const auto near = static_cast<int64_t>(result_.duplicates.size()) - exact;
  say(fmt::format(
      "duplicates.csv: pairs of the same pixels: {}, of nearly the same: {}; groups: {}; pairs that join two splits: "
      "{}{}",
      exact, near, result_.groups, result_.across_splits, shown.empty() ? "" : "; .png: pairs side by side"));
}

void Look::write_outliers() {
  std::vector<double> distance;
  for (int64_t row = 0; row < result_.images; ++row) distance.push_back(nearest_.distance(row));
  const std::vector<Oddness> odd = oddness(distance, figures_);
  strangest_.resize(odd.size());
  std::iota(strangest_.begin(), strangest_.end(), 0);
  std::stable_sort(strangest_.begin(), strangest_.end(),
                   [&](int32_t a, int32_t b) { return odd[a].deviations > odd[b].deviations; });
  AtomicFile file(out_ + "/outliers.csv");
  file.write("file,split,label,deviations,by,distance,roughness,contrast,brightness\n");
  for (int32_t row : strangest_) {
    const PixelFigures& f = figures_[row];
    file.write(fmt::format("{},{:.3f},{},{:.6f},{:.4f},{:.4f},{:.4f}\n", cells_of(row), odd[row].deviations,
                           odd[row].by, distance[row], f.roughness, f.contrast, f.brightness));
  }
  file.commit();
  const size_t shown = std::min(sheet_images, strangest_.size());
  draw("outliers.png", {strangest_.begin(), strangest_.begin() + static_cast<int64_t>(shown)}, sheet_columns);
  say(fmt::format(
      "outliers.csv: all images by how far they are from the usual, the strangest first: in their mean "
      "distance to {} neighbours, or in their roughness, contrast or brightness; .png: {} of them, row by row",
      nearest_.k, shown));
}

// From the most ordinary image on; of duplicates only the first may be chosen.
void Look::write_chosen() {
  std::vector<bool> eligible = repeats_another_;
  eligible.flip();
  int32_t first = strangest_.back();
  for (auto row = strangest_.rbegin(); row != strangest_.rend() && !eligible[first]; ++row) first = *row;
  const Chosen chosen = choose_diverse(features_, options_.choose, first, eligible);
  std::string text = "file,split,label,distance\n";
  for (size_t i = 0; i < chosen.rows.size(); ++i)
    text += fmt::format("{},{:.6f}\n", cells_of(chosen.rows[i]), chosen.distances[i]);
  write_file_atomically(out_ + "/chosen.csv", text);
  const size_t shown = std::min(sheet_images, chosen.rows.size());
  draw("chosen.png", {chosen.rows.begin(), chosen.rows.begin() + static_cast<int64_t>(shown)}, sheet_columns);
  say(
      fmt::format("chosen.csv: {} images that differ most from one another, no duplicates, in the order of being "
                  "chosen (any first n are the choice of n); .png: {} of them",
                  chosen.rows.size(), shown));
}

LookResult Look::run() {
  nearest_ = nearest_neighbours(features_, options_.neighbours, view_.threads);
  find_duplicates();
  group_duplicates();
  write_duplicates();
  write_outliers();
  if (options_.choose > 0) write_chosen();
  write_neighbours();
  return std::move(result_);
}

}  // namespace

void LookOptions::fields(Fields& f) {
  f("neighbours", neighbours, "neighbours of each image", between(1, 1000));
  f("near", near, "cosine from which neighbours are compared by their pixels", between(-1, 1));
  f("pixels", pixels, "agreement of the pixels, from -1 to 1, from which two images are duplicates", between(-1, 1));
  f("choose", choose, "images to choose that differ most from one another, to label first; 0: none");
  f("overwrite", overwrite, "replace an earlier look in the folder");
}

LookResult look(Encoder& encoder, const AllImages& images, const AllImages& stored, const ViewOptions& view,
                const LookOptions& options, const std::string& out) {
  return Look(encoder, images, stored, view, options, out).run();
}

}  // namespace gestalt
