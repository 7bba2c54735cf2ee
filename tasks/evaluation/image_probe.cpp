// kNN of the encoder as it is between two steps.
#include "tasks/evaluation/image_probe.h"

#include <fmt/format.h>

namespace gestalt {

Probe::Outlook ImageProbe::outlook(Method& any) {
  const auto& method = dynamic_cast<ImageMethod&>(any);
  const ImageSplits& images = method.images();
  const auto without = [&](const std::string& why) -> Outlook {
    return {false, fmt::format("{} {}, so there is no kNN", method.run.data, why)};
  };
  if (!images.labelled()) return without("has no labels");
  if (images.test->labels().empty()) return without("has no labels for its held-out images");
  if (images.classes() < 2) return without("has one class, which nothing can be told from");
  const int64_t bank = images.train->size();
  if (knn.k <= bank) return {};
  return {true, fmt::format("kNN lets all {} labelled images vote, for there are no {}", bank, knn.k)};
}

std::vector<Metric> ImageProbe::measure(Method& any) {
  auto& method = dynamic_cast<ImageMethod&>(any);
  if (!outlook(method).possible) return {};
  const ImageSplits& images = method.images();
  const ViewOptions view = view_options(method);
  const Features train = extract_features(method.encoder(), images.train, view);
  const Features test = extract_features(method.encoder(), images.test, view);
  return {{"knn", knn_accuracy(train, test, images.classes(), knn),
           fmt::format("{}; bank {} train images, {} test images", knn.of_bank(images.train->size()).protocol(),
                       images.train->size(), images.test->size())}};
}

namespace {

const RegisterProbe image_probe(Modality::images,
                                [] { return std::unique_ptr<Probe>(std::make_unique<ImageProbe>()); });

}  // namespace
}  // namespace gestalt
