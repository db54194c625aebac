#include "common/duration.h"

#include <cmath>
#include <string_view>

#include "common/numbers.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

// Units in the order in which they are written.
constexpr std::string_view kUnits = "dhms";
constexpr double kUnitSeconds[] = {86400, 3600, 60, 1};

absl::Status Refuse(const std::string& text) {
  return absl::InvalidArgumentError(
      StrCat("\"", text, "\" is not a time above 0 such as 8h, 90m, 2d or 1d12h"));
}

}  // namespace

absl::StatusOr<double> ParseDurationSeconds(const std::string& text) {
  double seconds = 0;
  size_t next_unit = 0;
  for (std::string_view left = text; !left.empty();) {
    const size_t digits = left.find_first_not_of("0123456789.");
    if (digits == std::string_view::npos) return Refuse(text);
    const size_t unit = kUnits.find(left[digits], next_unit);
    double amount = 0;
    if (unit == std::string_view::npos || !ParseDouble(left.substr(0, digits), &amount))
      return Refuse(text);
    seconds += amount * kUnitSeconds[unit];
    next_unit = unit + 1;
    left.remove_prefix(digits + 1);
  }
  if (!(seconds > 0) || !std::isfinite(seconds)) return Refuse(text);
  return seconds;
}

}  // namespace tunesmith
