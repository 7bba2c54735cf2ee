// Parts of a page that needs nothing but itself: escaped text, curves and points as SVG, tables, pictures as base64.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gestalt::html {

// Text as it may stand between tags and in quoted attributes; bytes that are no UTF-8 are replaced.
std::string escape(std::string_view text);
std::string base64(std::string_view bytes);
std::string paragraph(const std::string& text, const std::string& css_class = "");
// <h2>title</h2> and `body`, which is HTML.
std::string section(const std::string& title, const std::string& body);
// Names over their values, side by side.
std::string cards(const std::vector<std::pair<std::string, std::string>>& values);

// What stands in a table: text, unless it is made by raw().
struct Cell {
  Cell(const char* text) : html(escape(text)) {}
  Cell(const std::string& text) : html(escape(text)) {}
  static Cell raw(std::string html);

  std::string html;
};
// Rows whose number stands in `marked` are set off.
std::string table(const std::vector<std::string>& head, const std::vector<std::vector<Cell>>& rows,
                  const std::vector<size_t>& marked = {});
// A value with its interval on a line from 0 to `most`.
std::string interval(double low, double value, double high, double most);

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (x, y), finite
};
// Curves over one another, with the colours of their places; `title` above, ticks at round numbers.
std::string chart(const std::string& title, const std::vector<Curve>& curves);
// Names beside the colours of their places.
std::string key(const std::vector<std::string>& names);
// Shares of a whole as one bar with its legend.
std::string bar(const std::string& title, const std::vector<std::pair<std::string, double>>& parts,
                const std::string& unit);
// Points (x, y) with the colour of their class (−1: none), and a legend of the classes.
struct Point {
  double x, y;
  int group;
  std::string name;
};
std::string scatter(const std::vector<Point>& points, const std::vector<std::string>& groups);

// How often class a (a row) was taken for class b (a column), with sums: counts (classes, classes).
std::string confusion(const std::vector<std::string>& classes, const std::vector<int64_t>& counts);

// A small picture; `png` is the file's bytes, `title` shows when pointed at, `frame` is "", "right" or "wrong".
struct Tile {
  std::string png, title, frame = "";
};
// The first of each row is set apart.
std::string tiles(const std::vector<std::vector<Tile>>& rows);
std::string picture(std::string_view png, const std::string& caption);

// The whole page; `body` is HTML.
std::string page(const std::string& title, const std::string& body);

}  // namespace gestalt::html
