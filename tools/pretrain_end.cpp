// The end of a run: the closing table, results.jsonl and report.html.
#include "tools/pretrain_end.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tasks/evaluation/image_probe.h"
#include "tasks/evaluation/report.h"
#include "tasks/evaluation/run_report.h"
#include "tools/output.h"
#include "tools/results.h"

namespace gestalt::tools {
namespace {

// As 'gestalt evaluate' records its results.
void record_rows(const std::vector<ReportRow>& rows, const std::string& folder, const ImageMethod& method,
                 const KnnOptions& knn, const LinearOptions& linear) {
  const ImageSplits& images = method.images();
  const int64_t bank = images.train->size();
  for (const ReportRow& row : rows)
    for (const bool is_knn : {true, false})
      record_result(folder,
                    {{"evaluation", is_knn ? "knn" : "linear"},
                     {"accuracy", is_knn ? row.knn : row.linear},
                     {"protocol", is_knn ? knn.of_bank(bank).protocol() : linear.of_bank(bank).protocol()},
                     {"features", &row == &rows.back() ? "encoder" : row.features},
                     {"method", method.name()},
                     {"data", method.run.data},
                     {"classes", images.classes()},
                     {"train_images", bank},
                     {"labels_used", bank},
                     {"test_images", images.test->size()},
                     {"size", method.image_size},
                     {"dtype", name(method.run.resolved_dtype())}},
                    false);
}

}  // namespace

std::string print_measures(Method& method, const PretrainResult& result, bool report) {
  for (const Metric& m : result.metrics)
    if (!report) fmt::print("{} {:.4g}: {}\n", m.name, m.value, m.protocol);
  if (!report) return result.unmeasured;
  try {
    auto& images = dynamic_cast<ImageMethod&>(method);
    const LinearOptions linear;
    const KnnOptions knn = dynamic_cast<ImageProbe&>(*method.probe).knn;
    const std::vector<ReportRow> rows = baseline_report(images, knn, linear);
    fmt::print("\n{}", report_text(rows, images, knn, linear));
    record_rows(rows, result.folder, images, knn, linear);
    return {};
  } catch (const Error& error) { return error.what(); }
}

void write_page(Method& method, const std::string& folder) {
  try {
    fmt::print("report: {}\n", write_run_report(folder, method));
  } catch (const std::exception& error) {
    flush_output();
    note(fmt::format("gestalt: warning: the run is trained and saved, but has no report.html: {}", error.what()));
  }
}

}  // namespace gestalt::tools
