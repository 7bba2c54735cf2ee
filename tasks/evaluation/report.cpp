// Baselines beside the trained encoder.
#include "tasks/evaluation/report.h"

#include <fmt/format.h>

namespace gestalt {

std::vector<ReportRow> baseline_report(ImageTask& task, const LinearOptions& linear) {
  check(task.labelled(), "[report] {} has no labels to evaluate with", task.run.data);
  const ViewOptions view = task.view_options();
  const auto classes = static_cast<int64_t>(task.bank()->class_names().size());
  const auto evaluate = [&](const std::string& what, auto&& features_of) -> ReportRow {
    const Features train = features_of(task.bank()), test = features_of(task.test());
    return {what, knn_accuracy(train, test, classes, task.knn), linear_accuracy(train, test, classes, linear)};
  };
  const auto encoded_by = [&](Encoder& encoder) {
    return [&](const std::shared_ptr<ImageSet>& set) { return extract_features(encoder, set, view); };
  };

  Random random(static_cast<uint64_t>(task.run.seed));
  const std::unique_ptr<Encoder> untrained = make_encoder(task.model, task.image_size, random);
  move_to(*untrained, view.device);
  return {evaluate("raw pixels", [&](const std::shared_ptr<ImageSet>& set) { return raw_pixels(set, view); }),
          evaluate("untrained encoder", encoded_by(*untrained)),
          evaluate(fmt::format("{}, {} epochs", task.name(), task.run.epochs), encoded_by(task.encoder()))};
}

std::string report_text(const std::vector<ReportRow>& rows, ImageTask& task, const LinearOptions& linear) {
  std::string text = fmt::format("{:<24} {:>8} {:>8}\n", "features", "kNN %", "linear %");
  for (const ReportRow& r : rows) text += fmt::format("{:<24} {:>8.2f} {:>8.2f}\n", r.features, r.knn, r.linear);
  text += fmt::format("test split, {} images, {} classes; {} train images\n", task.test()->size(),
                      task.bank()->class_names().size(), task.bank()->size());
  text += fmt::format("kNN: {}\nlinear: {}\n", task.knn.protocol(), linear.protocol());
  return text;
}

}  // namespace gestalt
