// Tables of numbers as runs write them (metrics.csv, timing.csv), read again; the same as lines of JSON; tables for a
// terminal.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gestalt {

struct NumberTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<double>>> rows;  // as long as `columns`; an empty cell is nothing

  // The cells of a column, from the first row on; nothing but empty ones where there is no such column.
  std::vector<std::optional<double>> column(const std::string& name) const;
  // The last number of a column.
  std::optional<double> last(const std::string& name) const;
};

// A first line of names, then lines of numbers, with the line ends of any system. A last line without its end is left
// out: somebody is writing it. Throws Error, naming `source` and the line, for a cell that is no number and a row that
// is longer or shorter than the first.
NumberTable parse_number_table(const std::string& source, std::string_view text);

// A row as one line of JSON, an object by its columns, with its line end: numbers as in the table; an empty cell, and
// what is not finite, is null.
std::string json_line(const std::vector<std::string>& columns, const std::vector<std::optional<double>>& row);
// All rows so.
std::string json_lines(const NumberTable& table);

// Rows of as many cells, for a terminal: each column as wide as its widest cell and two blanks.
std::string aligned_columns(const std::vector<std::vector<std::string>>& rows);

}  // namespace gestalt
