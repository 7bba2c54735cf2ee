// Tables, pictures and event files.
#include "tasks/training/records.h"

#include <span>

#include "engine/nn/module.h"
#include "engine/run/files.h"
#include "engine/run/table.h"

namespace gestalt {

void Records::go_on(int64_t step, int64_t metrics_bytes, int64_t timing_bytes) {
  resumed_at_ = step;
  metrics_.begun_bytes = metrics_bytes;
  timing_.begun_bytes = timing_bytes;
}

void Records::open_events(int64_t step) { events_.emplace(folder_.path(), step); }

std::string Records::append(Table& table, const MetricsRow& row, const char* tag) {
  std::string note;
  if (!table.file) {
    std::vector<std::string> columns;
    for (const auto& [name, value] : row) columns.push_back(name);
    if (table.begun_bytes > 0)
      table.file.emplace(folder_ / table.name, columns, table.begun_bytes, static_cast<double>(resumed_at_));
    else
      table.file.emplace(folder_ / table.name, columns);
    note = table.file->note();
  }
  std::vector<std::pair<std::string, double>> values;
  for (const auto& [column, value] : row)
    if (value) values.push_back({column, *value});
  table.file->append(values);
  if (!events_) return note;
  const auto step = static_cast<int64_t>(row.front().second.value_or(0));
  for (size_t i = 1; i < values.size(); ++i) events_->scalar(tag + values[i].first, step, values[i].second);
  return note;
}

std::string Records::metrics(const MetricsRow& row) {
  const bool begun = metrics_.file.has_value();
  const std::string note = append(metrics_, row, "metrics/");
  const std::string table = folder_ / RunFolder::metrics, lines = folder_ / RunFolder::metric_lines;
  if (!begun) {  // made anew of the table, whose rows of a former sitting were kept or cut off
    write_file_atomically(lines, json_lines(parse_number_table(table, read_text(table))));
    return note;
  }
  std::vector<std::string> columns;
  std::vector<std::optional<double>> values;
  for (const auto& [column, value] : row) columns.push_back(column), values.push_back(value);
  append_to_file(lines, json_line(columns, values));
  return note;
}
std::string Records::timing(const MetricsRow& row) { return append(timing_, row, "timing/"); }

void Records::picture(const std::string& name, int64_t step, const Picture& picture) {
  const std::string path = folder_ / (name + ".png");
  write_picture(path, picture);
  if (events_) events_->image("picture", step, read_text(path), picture.height, picture.width);
}

void Records::event_picture(const std::string& tag, int64_t step, const Picture& picture) {
  if (events_) events_->image(tag, step, encode_picture(picture), picture.height, picture.width);
}

void Records::weights(int64_t step, Method& method) {
  if (!events_) return;
  for (const NamedPart& part : parts(method)) {
    if (!part.trained) continue;
    const Tensor here = part.tensor.detach().to(Device::cpu).to(DType::f32);
    events_->histogram("weights/" + part.name, step, std::span(here.data<float>(), static_cast<size_t>(here.count())));
  }
}

}  // namespace gestalt
