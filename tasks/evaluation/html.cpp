// Writing HTML and SVG by hand.
#include "tasks/evaluation/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/run/utf8.h"

namespace gestalt::html {
namespace {

constexpr const char* style = R"(
:root{color-scheme:light dark;--bg:#fff;--fg:#1b2130;--dim:#667085;--line:#e3e6ec;--mark:#eaf2fd;--warn:#fff3d6;--card:#f6f7f9;--good:#1f9e77;--bad:#d1493f;--hue:59,130,214}
@media(prefers-color-scheme:dark){:root{--bg:#14171d;--fg:#e6e8ec;--dim:#98a1b0;--line:#303743;--mark:#1d2b40;--warn:#443a1d;--card:#1b1f27}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1160px;padding:32px 24px 72px;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}h1{font-size:28px;line-height:1.2;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:19px;margin:40px 0 10px;padding-top:16px;border-top:1px solid var(--line);overflow-wrap:anywhere}h3{font-size:15px;margin:22px 0 4px}
h2.run{font-size:23px;border-top:3px solid var(--fg)}p{margin:6px 0;overflow-wrap:anywhere;max-width:90ch}.dim{color:var(--dim);font-size:13.5px}
.warn{background:var(--warn);padding:8px 12px;border-radius:6px;white-space:pre-wrap}
pre{background:var(--card);padding:10px 12px;border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0;font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:10px;margin:16px 0}
.cards div{background:var(--card);border-radius:8px;padding:10px 12px;min-width:0;overflow-wrap:anywhere}.cards b{display:block;font-size:19px;line-height:1.3}.cards span{color:var(--dim);font-size:12.5px}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:8px 0;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 16px 5px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:break-word}
td:first-child,th:first-child{padding-left:8px}th{color:var(--dim);font-weight:600;font-size:13px}tr.mark td{background:var(--mark)}td svg{width:150px;margin-top:4px}
table.confusion td{text-align:right;padding:5px 9px;min-width:44px}table.confusion td.sum{color:var(--dim)}table.confusion td.name{text-align:left;white-space:nowrap}
table.confusion th{text-align:right;padding:5px 9px;vertical-align:bottom}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:14px}
figure{margin:0;background:var(--card);border-radius:8px;padding:12px 14px;min-width:0}figure.shown{margin:12px 0}
figcaption{font-size:13.5px;color:var(--dim);overflow-wrap:anywhere;max-width:100ch}.charts figcaption{color:var(--fg);font-weight:600}
svg{display:block;width:100%;height:auto}svg text{fill:var(--dim);font-size:11px}img{max-width:100%;height:auto;display:block}figure>img{margin-top:8px}
.map{max-width:760px}.key{font-size:13px;margin:6px 0}.key span{display:inline-block;margin-right:14px}.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
.tiles{display:flex;flex-wrap:wrap;gap:5px;margin:5px 0}.tiles img{width:68px;height:68px;object-fit:cover;border-radius:4px;border:3px solid transparent;image-rendering:pixelated}
.tiles img.right{border-color:var(--good)}.tiles img.wrong{border-color:var(--bad)}.tiles img:first-child{margin-right:14px}
.pairs{display:flex;flex-wrap:wrap;gap:6px 26px}.pairs .tiles img:first-child{margin-right:0}
details summary{cursor:pointer;color:var(--dim);margin:8px 0}@media print{details{display:none}}
)";

// Told apart by most eyes, on light and dark grounds (after Okabe and Ito).
std::string colour(size_t i) {
  static const char* const first[] = {"#3b82d6", "#e0862b", "#1f9e77", "#c2559b", "#c9a400", "#56a9d8", "#d1493f"};
  if (i < std::size(first)) return first[i];
  return fmt::format("hsl({:.0f},55%,{}%)", std::fmod(static_cast<double>(i) * 137.5, 360), i % 2 ? 50 : 60);
}

std::string number(double v) { return fmt::format("{:.4g}", v + 0.0); }  // no -0

// About four round numbers from `low` to `high`.
std::vector<double> ticks(double low, double high) {
  const double raw = (high - low) / 4, power = std::pow(10, std::floor(std::log10(raw)));
  const double unit = raw / power, step = power * (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10);
  std::vector<double> all;
  for (double at = std::ceil(low / step) + 0.0; at * step <= high + 1e-9 * step && all.size() < 10; ++at)
    all.push_back(at * step);
  return all;
}

struct Frame {
  double left, right, low, high;

  double x(double v) const { return 56 + 294 * (v - left) / (right - left); }
  double y(double v) const { return 160 - 148 * (v - low) / (high - low); }
};

Frame frame_of(const std::vector<Curve>& curves) {
  Frame f{HUGE_VAL, -HUGE_VAL, HUGE_VAL, -HUGE_VAL};
  for (const Curve& curve : curves)
    for (const auto& [x, y] : curve.points) {
      f.left = std::min(f.left, x), f.right = std::max(f.right, x);
      f.low = std::min(f.low, y), f.high = std::max(f.high, y);
    }
  if (f.right < f.left) f = {0, 1, 0, 1};
  const auto widen = [](double& low, double& high) {  // a single value stands in the middle
    const double by = high > low ? 0 : high != 0 ? std::abs(high) / 2 : 1;
    low -= by, high += by;
  };
  widen(f.left, f.right), widen(f.low, f.high);
  const double slack = 0.06 * (f.high - f.low);
  f.low -= slack, f.high += slack;
  return f;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : repair_utf8(text)) switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t' ? ' ' : c;
    }
  return escaped;
}

std::string base64(std::string_view bytes) {
  static constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) text += i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::string paragraph(const std::string& text, const std::string& css_class) {
  return fmt::format("<p{}>{}</p>\n", css_class.empty() ? "" : fmt::format(" class=\"{}\"", css_class), escape(text));
}

std::string section(const std::string& title, const std::string& body) {
  return fmt::format("<h2>{}</h2>\n{}\n", escape(title), body);
}

std::string cards(const std::vector<std::pair<std::string, std::string>>& values) {
  std::string text = "<div class=\"cards\">";
  for (const auto& [name, value] : values)
    text += fmt::format("<div><b>{}</b><span>{}</span></div>", escape(value), escape(name));
  return text + "</div>\n";
}

Cell Cell::raw(std::string html) {
  Cell cell("");
  cell.html = std::move(html);
  return cell;
}

std::string table(const std::vector<std::string>& head, const std::vector<std::vector<Cell>>& rows,
                  const std::vector<size_t>& marked) {
  std::string text = "<div class=\"wide\"><table><tr>";
  for (const std::string& cell : head) text += "<th>" + escape(cell) + "</th>";
  text += "</tr>\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    const bool mark = std::find(marked.begin(), marked.end(), i) != marked.end();
    text += mark ? "<tr class=\"mark\">" : "<tr>";
    for (const Cell& cell : rows[i]) text += "<td>" + cell.html + "</td>";
    text += "</tr>\n";
  }
  return text + "</table></div>\n";
}

std::string interval(double low, double value, double high, double most) {
  const auto x = [&](double v) { return 4 + 142 * std::clamp(v / most, 0.0, 1.0); };
  return fmt::format(
      "<svg viewBox=\"0 0 150 14\" role=\"img\" aria-label=\"{0:.2f} to {1:.2f}\"><line x1=\"4\" x2=\"146\" y1=\"7\" "
      "y2=\"7\" stroke=\"var(--dim)\" stroke-opacity=\".45\"/><line x1=\"{2:.1f}\" x2=\"{3:.1f}\" y1=\"7\" y2=\"7\" "
      "stroke=\"{5}\" "
      "stroke-width=\"3\"/><circle cx=\"{4:.1f}\" cy=\"7\" r=\"4\" fill=\"{5}\"/></svg>",
      low, high, x(low), x(high), x(value), colour(0));
}

std::string chart(const std::string& title, const std::vector<Curve>& curves) {
  const Frame f = frame_of(curves);
  std::string svg;
  for (double y : ticks(f.low, f.high))
    svg += fmt::format(
        "<line x1=\"56\" x2=\"350\" y1=\"{0:.1f}\" y2=\"{0:.1f}\" stroke=\"var(--line)\"/><text x=\"50\" y=\"{1:.1f}\" "
        "text-anchor=\"end\">{2}</text>",
        f.y(y), f.y(y) + 4, number(y));
  for (double x : ticks(f.left, f.right))
    svg += fmt::format("<text x=\"{:.1f}\" y=\"176\" text-anchor=\"middle\">{}</text>", f.x(x), number(x));
  for (size_t i = 0; i < curves.size(); ++i) {
    std::string line;
    for (const auto& [x, y] : curves[i].points) line += fmt::format("{:.1f},{:.1f} ", f.x(x), f.y(y));
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"/>", line, colour(i));
    if (curves[i].points.size() > 40) continue;
    for (const auto& [x, y] : curves[i].points)
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\"><title>{} {}: {}</title></circle>",
                         f.x(x), f.y(y), colour(i), escape(curves[i].name), number(x), number(y));
  }
  return fmt::format(
      "<figure><figcaption>{0}</figcaption><svg viewBox=\"0 0 360 182\" role=\"img\" aria-label=\"{0}\">{1}</svg>"
      "</figure>\n",
      escape(title), svg);
}

std::string key(const std::vector<std::string>& names) {
  if (names.empty()) return "";
  std::string text = "<div class=\"key\">";
  for (size_t i = 0; i < names.size(); ++i)
    text += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", colour(i), escape(names[i]));
  return text + "</div>";
}

std::string bar(const std::string& title, const std::vector<std::pair<std::string, double>>& parts,
                const std::string& unit) {
  double whole = 0, at = 0;
  for (const auto& [name, value] : parts) whole += value;
  if (whole <= 0) return paragraph("Nothing was timed.", "dim");
  std::string svg;
  std::vector<std::string> names;
  for (size_t i = 0; i < parts.size(); ++i) {
    const double width = 1000 * parts[i].second / whole;
    svg += fmt::format("<rect x=\"{:.1f}\" y=\"0\" width=\"{:.1f}\" height=\"26\" fill=\"{}\"/>", at, width, colour(i));
    at += width;
    names.push_back(
        fmt::format("{} {:.3g} {} ({:.1f} %)", parts[i].first, parts[i].second, unit, 100 * parts[i].second / whole));
  }
  return fmt::format(
      "<figure class=\"shown\"><figcaption>{0}</figcaption><svg viewBox=\"0 0 1000 26\" role=\"img\" "
      "aria-label=\"{0}\">{1}</svg>{2}</figure>\n",
      escape(title), svg, key(names));
}

std::string scatter(const std::vector<Point>& points, const std::vector<std::string>& groups) {
  Curve all{"", {}};
  for (const Point& p : points) all.points.push_back({p.x, p.y});
  const Frame f = frame_of({all});
  std::string svg;
  for (const Point& p : points)
    svg += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"1.6\" fill=\"{}\" fill-opacity=\".7\"><title>{}</title></circle>\n",
        f.x(p.x) - 50, f.y(p.y), colour(static_cast<size_t>(std::max(0, p.group))), escape(p.name));
  return fmt::format(
      "<figure class=\"shown map\"><svg viewBox=\"0 0 306 172\" role=\"img\" aria-label=\"map\">{}</svg>{}"
      "</figure>\n",
      svg, key(groups));
}

std::string confusion(const std::vector<std::string>& classes, const std::vector<int64_t>& counts) {
  const size_t n = classes.size();
  std::string text = "<div class=\"wide\"><table class=\"confusion\"><tr><th></th>";
  for (const std::string& name : classes) text += "<th>" + escape(name) + "</th>";
  text += "<th>sum</th><th>found</th></tr>\n";
  std::vector<int64_t> taken(n, 0);
  const auto share = [](int64_t part, int64_t whole) {
    return whole > 0 ? fmt::format("{:.0f} %", 100 * static_cast<double>(part) / static_cast<double>(whole)) : "-";
  };
  for (size_t a = 0; a < n; ++a) {
    int64_t sum = 0;
    for (size_t b = 0; b < n; ++b) sum += counts[a * n + b], taken[b] += counts[a * n + b];
    text += "<tr><td class=\"name\">" + escape(classes[a]) + "</td>";
    for (size_t b = 0; b < n; ++b) {
      const int64_t count = counts[a * n + b];
      text += count == 0
                  ? "<td>·</td>"
                  : fmt::format("<td style=\"background:rgba({},{:.2f})\">{}</td>", a == b ? "31,158,119" : "209,73,63",
                                static_cast<double>(count) / static_cast<double>(sum), count);
    }
    text +=
        fmt::format("<td class=\"sum\">{}</td><td class=\"sum\">{}</td></tr>\n", sum, share(counts[a * n + a], sum));
  }
  int64_t all = 0, right = 0;
  std::string precision;
  text += "<tr><td class=\"name sum\">sum</td>";
  for (size_t b = 0; b < n; ++b) {
    all += taken[b], right += counts[b * n + b];
    text += fmt::format("<td class=\"sum\">{}</td>", taken[b]);
    precision += fmt::format("<td class=\"sum\">{}</td>", share(counts[b * n + b], taken[b]));
  }
  return text + fmt::format("<td class=\"sum\">{}</td><td class=\"sum\">{}</td></tr>\n", all, share(right, all)) +
         "<tr><td class=\"name sum\">of these right</td>" + precision +
         "<td class=\"sum\"></td><td class=\"sum\"></td></tr></table></div>\n";
}

std::string tiles(const std::vector<std::vector<Tile>>& rows) {
  std::string text;
  for (const auto& row : rows) {
    text += "<div class=\"tiles\">";
    for (const Tile& tile : row)
      text += fmt::format("<img class=\"{0}\" alt=\"{1}\" title=\"{1}\" src=\"data:image/png;base64,{2}\"/>",
                          tile.frame, escape(tile.title), base64(tile.png));
    text += "</div>\n";
  }
  return text;
}

std::string picture(std::string_view png, const std::string& caption) {
  return fmt::format(
      "<figure class=\"shown\"><figcaption>{0}</figcaption><img alt=\"{0}\" src=\"data:image/png;base64,{1}\"/>"
      "</figure>\n",
      escape(caption), base64(png));
}

std::string page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"/><title>{0}</title><style>{1}</style></head><body>\n"
      "<h1>{0}</h1>\n{2}</body></html>\n",
      escape(title), style, body);
}

}  // namespace gestalt::html
