// Reading tables of numbers, and setting cells in columns.
#include "engine/run/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/run/csv.h"
#include "engine/run/json.h"
#include "kernels/check.h"

namespace gestalt {
namespace {

// Characters of UTF-8, each a column wide.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::vector<std::optional<double>> NumberTable::column(const std::string& name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  std::vector<std::optional<double>> cells;
  for (const auto& row : rows)
    cells.push_back(found == columns.end() ? std::nullopt : row[static_cast<size_t>(found - columns.begin())]);
  return cells;
}

std::optional<double> NumberTable::last(const std::string& name) const {
  std::optional<double> value;
  for (const std::optional<double>& cell : column(name))
    if (cell) value = cell;
  return value;
}

NumberTable parse_number_table(const std::string& source, std::string_view text) {
  NumberTable table;
  int64_t number = 0;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
    std::string_view line = text.substr(begin, end - begin);
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::vector<std::string> cells = split(line, ',');
    if (table.columns.empty()) {
      table.columns = cells;
      continue;
    }
    check(cells.size() == table.columns.size(), "[table] {}:{} has {} cells, expected {}; remove the line", source,
          number, cells.size(), table.columns.size());
    std::vector<std::optional<double>>& row = table.rows.emplace_back();
    for (const std::string& cell : cells) {
      double value = 0;
      const auto [last, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
      check(cell.empty() || (error == std::errc() && last == cell.data() + cell.size()),
            "[table] {}:{} got '{}', expected a number; remove the line", source, number, cell);
      row.push_back(cell.empty() ? std::nullopt : std::optional<double>(value));
    }
  }
  return table;
}

std::string json_line(const std::vector<std::string>& columns, const std::vector<std::optional<double>>& row) {
  std::string line;
  for (size_t i = 0; i < columns.size(); ++i) {
    const bool number = i < row.size() && row[i] && std::isfinite(*row[i]);
    line += fmt::format("{}{}: {}", i > 0 ? ", " : "", Json(columns[i]).dump(),
                        number ? fmt::format("{}", *row[i]) : "null");
  }
  return "{" + line + "}\n";
}

std::string json_lines(const NumberTable& table) {
  std::string lines;
  for (const auto& row : table.rows) lines += json_line(table.columns, row);
  return lines;
}

std::string aligned_columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.empty() ? 0 : rows[0].size(), 0);
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] + 2 - width(row[i]), ' ');
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace gestalt
