// Comparing rows with the signs of a collapse.
#include "tasks/training/collapse.h"

#include <fmt/format.h>

namespace gestalt {

std::string CollapseGuard::look_at(const MetricsRow& row, const Method& method) {
  std::string what;
  for (const CollapseSign& sign : method.collapse_signs())
    for (const auto& [column, value] : row) {
      const bool above = sign.side == CollapseSign::Side::above;
      if (column != sign.column || !value || (above ? *value <= sign.limit : *value >= sign.limit)) continue;
      what = fmt::format("{} ({} {:.4f}, where {} {:.4g} is a collapse)", sign.means, column, *value,
                         above ? "above" : "below", sign.limit);
      cure_ = sign.cure.empty() ? method.collapse_cure() : sign.cure;
    }
  rows_ = what.empty() ? 0 : rows_ + 1;
  if (rows_ < 2 || collapsed_) return {};
  collapsed_ = true;
  return fmt::format("warning: COLLAPSE at step {:.0f}: {}, so nothing is learned; {}", row.front().second.value_or(0),
                     what, cure_);
}

}  // namespace gestalt
