// Lines for tables, in LaTeX or Markdown.
#include "tools/evaluation.h"

namespace gestalt::tools {
namespace {

std::string latex_text(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    if (std::string("&%$#_{}").find(c) != std::string::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

void row_field(Fields& f, std::string& style) {
  f("row", style, "how the line for a table is written", {"latex", "markdown"});
}

std::string table_row(const std::vector<std::string>& cells, const std::string& style) {
  const bool latex = style == "latex";
  std::string row = latex ? "" : "|";
  for (size_t i = 0; i < cells.size(); ++i)
    row += latex ? (i > 0 ? " & " : "") + latex_text(cells[i]) : " " + cells[i] + " |";
  return latex ? row + " \\\\" : row;
}

}  // namespace gestalt::tools
