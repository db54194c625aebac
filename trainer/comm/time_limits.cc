#include "trainer/comm/time_limits.h"

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr double kMostSeconds = 1e6;

absl::Status Read(const Environment& environment, const char* name,
                  std::chrono::milliseconds* limit) {
  const auto found = environment.find(name);
  if (found == environment.end()) return absl::OkStatus();
  double seconds = 0;
  if (!ParseDouble(found->second, &seconds) || seconds < 1e-3 || seconds > kMostSeconds)
    return absl::InvalidArgumentError(
        StrCat("the environment has ", name, "=", found->second, "; give seconds, 0.001 to 1e6"));
  *limit = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TimeLimits> TimeLimitsOf(const Environment& environment) {
  TimeLimits limits;
  TUNESMITH_RETURN_IF_ERROR(Read(environment, "TUNESMITH_START_TIMEOUT_SECONDS", &limits.start));
  TUNESMITH_RETURN_IF_ERROR(Read(environment, "TUNESMITH_RANK_TIMEOUT_SECONDS", &limits.call));
  return limits;
}

}  // namespace tunesmith::trainer
