// The closing table of a run on labelled images: what training brought over the raw pixels and an untrained encoder.
#pragma once

#include <string>
#include <vector>

#include "tasks/evaluation/knn.h"
#include "tasks/evaluation/linear.h"

namespace gestalt {

struct ReportRow {
  std::string features;  // "raw pixels", "untrained encoder", "simclr, 10 epochs"
  double knn, linear;    // test accuracy in percent
};

// Evaluates three kinds of features by both protocols. The untrained encoder has the weights that the run began with
// and batch norm's initial statistics. Throws Error for unlabelled data.
std::vector<ReportRow> baseline_report(ImageMethod& method, const KnnOptions& knn, const LinearOptions& linear);

// The rows as a table, with the protocols under it.
std::string report_text(const std::vector<ReportRow>& rows, const ImageMethod& method, const KnnOptions& knn,
                        const LinearOptions& linear);

}  // namespace gestalt
