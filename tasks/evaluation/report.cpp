// Baselines beside the trained encoder.
#include "tasks/evaluation/report.h"

#include <fmt/format.h>

namespace gestalt {

std::vector<ReportRow> baseline_report(ImageMethod& method, const KnnOptions& knn, const LinearOptions& linear) {
  const ImageSplits& images = method.images();
  check(images.labelled() && !images.test->labels().empty() && images.classes() >= 2,
        "[report] {} has no labels of two classes or more to evaluate with", method.run.data);
  const ViewOptions view = view_options(method);
  const auto evaluate = [&](const std::string& what, auto&& features_of) -> ReportRow {
    const Features train = features_of(images.bank()), test = features_of(images.test);
    return {what, knn_accuracy(train, test, images.classes(), knn),
            linear_accuracy(train, test, images.classes(), linear, view.device)};
  };
  const auto encoded_by = [&](Encoder& encoder) {
    return [&](const std::shared_ptr<ImageSet>& set) { return extract_features(encoder, set, view); };
  };

  Random random(static_cast<uint64_t>(method.run.seed));
  const std::unique_ptr<Encoder> untrained = method.new_encoder(random);
  move_to(*untrained, view.device);
  return {evaluate("raw pixels", [&](const std::shared_ptr<ImageSet>& set) { return raw_pixels(set, view); }),
          evaluate("untrained encoder", encoded_by(*untrained)),
          evaluate(fmt::format("{}, {} epochs", method.name(), method.run.epochs), encoded_by(method.encoder()))};
}

std::string report_text(const std::vector<ReportRow>& rows, const ImageMethod& method, const KnnOptions& knn,
                        const LinearOptions& linear) {
  const ImageSplits& images = method.images();
  std::string text = fmt::format("{:<24} {:>8} {:>8}\n", "features", "kNN %", "linear %");
  for (const ReportRow& r : rows) text += fmt::format("{:<24} {:>8.2f} {:>8.2f}\n", r.features, r.knn, r.linear);
  text += fmt::format("test split, {} images, {} classes; {} train images\n", images.test->size(), images.classes(),
                      images.train->size());
  text += fmt::format("kNN: {}\nlinear: {}\n", knn.of_bank(images.train->size()).protocol(),
                      linear.of_bank(images.train->size()).protocol());
  return text;
}

}  // namespace gestalt
