#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/statusor.h"

// Inside the project every quantity is in SI base units and its name ends in the unit (`_bytes`, `_seconds`). Conversions to
// what people read happen once, at the edge, through the functions here.
namespace tunesmith {

inline constexpr int64_t kKiB = int64_t{1} << 10;
inline constexpr int64_t kMiB = int64_t{1} << 20;
inline constexpr int64_t kGiB = int64_t{1} << 30;

// "1.50 GiB", "12.0 MiB", "512 B": for tables that people read.
std::string FormatBytes(int64_t bytes);

// "1.24 s", "35 ms", "2 h 05 min": for tables that people read.
std::string FormatSeconds(double seconds);

// a * b, or INVALID_ARGUMENT naming `what` when either is negative or the product overflows. For sizes that come from files.
absl::StatusOr<int64_t> CheckedMultiply(int64_t a, int64_t b, const char* what);

// ceil(a / b) for a >= 0, b > 0.
constexpr int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The smallest multiple of `alignment` that is at least `value`.
constexpr int64_t AlignUp(int64_t value, int64_t alignment) {
  return CeilDivide(value, alignment) * alignment;
}

}  // namespace tunesmith
