// kNN of the encoder as it is between two steps.
#include "tasks/evaluation/image_probe.h"

#include <fmt/format.h>

namespace gestalt {

Probe::Outlook ImageProbe::outlook(Method& any) {
  const auto& method = dynamic_cast<ImageMethod&>(any);
  const ImageSplits& images = method.images();
  if (!images.labelled()) return {false, images.unmeasured + ", so there is no kNN"};
  const int64_t bank = images.train->size();
  if (knn.k <= bank) return {};
  return {true, fmt::format("kNN lets all {} labelled images vote, for there are no {}", bank, knn.k)};
}

std::vector<Metric> ImageProbe::measure(Method& any) {
  auto& method = dynamic_cast<ImageMethod&>(any);
  if (!outlook(method).possible) return {};
  const ImageSplits& images = method.images();
  const ViewOptions view = view_options(method);
  const Features train = extract_features(method.encoder(), images.bank(), view);
  const Features test = extract_features(method.encoder(), images.test, view);
  return {{"knn", knn_accuracy(train, test, images.classes(), knn),
           fmt::format("{}; bank {} train images, {} test images", knn.of_bank(images.bank()->size()).protocol(),
                       images.bank()->size(), images.test->size())}};
}

namespace {

const RegisterProbe image_probe(Modality::images,
                                [] { return std::unique_ptr<Probe>(std::make_unique<ImageProbe>()); });

}  // namespace
}  // namespace gestalt
