#include "common/units.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tunesmith {

std::string FormatBytes(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (bytes >= kGiB) return absl::StrFormat("%.2f GiB", value / static_cast<double>(kGiB));
  if (bytes >= kMiB) return absl::StrFormat("%.1f MiB", value / static_cast<double>(kMiB));
  if (bytes >= kKiB) return absl::StrFormat("%.1f KiB", value / static_cast<double>(kKiB));
  return absl::StrCat(bytes, " B");
}

std::string FormatSeconds(double seconds) {
  if (seconds >= 3600) {
    const int64_t minutes = static_cast<int64_t>(seconds / 60 + 0.5);
    return absl::StrFormat("%d h %02d min", minutes / 60, minutes % 60);
  }
  if (seconds >= 60) {
    const int64_t whole = static_cast<int64_t>(seconds + 0.5);
    return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  }
  if (seconds >= 1) return absl::StrFormat("%.2f s", seconds);
  if (seconds >= 1e-3) return absl::StrFormat("%.1f ms", seconds * 1e3);
  return absl::StrFormat("%.1f us", seconds * 1e6);
}

absl::StatusOr<int64_t> CheckedMultiply(int64_t a, int64_t b, const char* what) {
  int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", a, " x ", b, " is not a size that fits in 63 bits"));
  }
  return product;
}

}  // namespace tunesmith
