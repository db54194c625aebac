#include "common/numbers.h"

#include <charconv>
#include <cmath>
#include <system_error>

namespace tunesmith {
namespace {

template <typename T>
bool ParseWhole(std::string_view text, T* value) {
  const char* end = text.data() + text.size();
  T parsed = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, parsed);
  if (error != std::errc() || stop != end) return false;
  *value = parsed;
  return true;
}

}  // namespace

bool ParseInt64(std::string_view text, int64_t* value) { return ParseWhole(text, value); }

bool ParseDouble(std::string_view text, double* value) {
  double parsed = 0;
  if (!ParseWhole(text, &parsed) || !std::isfinite(parsed)) return false;
  *value = parsed;
  return true;
}

std::string FormatDouble(double value) {
  char buffer[32];  // the shortest form of a double takes at most 24 characters
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, result.ptr);
}

}  // namespace tunesmith
