#include "planner/answer/size_question.h"

#include <algorithm>
#include <cmath>

#include "common/text.h"
#include "planner/answer/candidates.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kMostDeviceCount = 1 << 16;
constexpr int64_t kMostDevicesPerNode = 1 << 12;

void CheckKind(const DeviceKind& kind, std::vector<std::string>& problems) {
  const std::string name = StrCat("kind ", kind.hardware.name, ": ");
  const auto check = [&](std::string_view field, int64_t value, int64_t least, int64_t most) {
    if (value >= least && value <= most) return;
    problems.push_back(StrCat(name, field, " is ", value, ", must be ", least, " to ", most));
  };
  check("devices_per_node", kind.devices_per_node, 1, kMostDevicesPerNode);
  check("device_limit", kind.device_limit, 0, kMostDeviceCount);
  check("host_memory_bytes", kind.host_memory_bytes, 0, int64_t{1} << 60);
  if (!std::isfinite(kind.price_per_device_hour) || kind.price_per_device_hour < 0) {
    problems.push_back(StrCat(name, "price_per_device_hour is ", kind.price_per_device_hour,
                              ", must be a number above 0"));
  }
}

bool HasPrice(const DeviceKind& kind) { return kind.price_per_device_hour > 0; }

void CheckKinds(const std::vector<DeviceKind>& kinds, std::vector<std::string>& problems) {
  if (kinds.empty()) problems.push_back("no kind of devices is named; name one or more");
  const bool any_price = std::any_of(kinds.begin(), kinds.end(), HasPrice);
  for (const DeviceKind& kind : kinds) {
    CheckKind(kind, problems);
    if (any_price && kind.price_per_device_hour == 0)
      problems.push_back(StrCat("kind ", kind.hardware.name,
                                " has no price while others have one; give a price for every "
                                "kind, or for none"));
  }
}

// What is computed stays the same on every kind.
Precision PrecisionOfAll(const SizeQuestion& asked) {
  Question question = asked.question;
  Precision precision = Precision::kBf16;
  for (const DeviceKind& kind : asked.kinds) {
    question.devices.hardware = kind.hardware;
    if (PrecisionOf(question) == Precision::kFp32) precision = Precision::kFp32;
  }
  return precision;
}

}  // namespace

bool Priced(const SizeQuestion& asked) {
  return std::any_of(asked.kinds.begin(), asked.kinds.end(), HasPrice);
}

absl::Status ValidateSizeQuestion(const SizeQuestion& asked) {
  std::vector<std::string> problems;
  CheckKinds(asked.kinds, problems);
  const double within = asked.finish_within_seconds;
  if (!std::isfinite(within) || within < 0)
    problems.push_back(StrCat("deadline is ", within, " s, must be above 0"));
  if ((within > 0 || Priced(asked)) && asked.question.workload.dataset_token_count == 0)
    problems.push_back(
        "a deadline or a price needs the size of the data set; name the data set or its tokens");
  if (asked.most_device_count < 1 || asked.most_device_count > kMostDeviceCount)
    problems.push_back(StrCat("most_device_count is ", asked.most_device_count, ", must be 1 to ",
                              kMostDeviceCount));
  if (asked.question.objective != Objective::kTime)
    problems.push_back("the objective must be time: counts are compared by their quickest mixes");
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("size: ", StrJoin(problems, "; ")));
}

Question QuestionFor(const SizeQuestion& asked, int64_t kind_index, const DeviceGroup& devices) {
  const DeviceKind& kind = asked.kinds[static_cast<size_t>(kind_index)];
  Question question = asked.question;
  question.precision = PrecisionOfAll(asked);
  question.ranked_count = 1;
  question.pareto_count = 0;
  question.devices = devices;
  question.calibration = kind.calibration;
  if (kind.host_memory_bytes > 0) {
    const int64_t share =
        kind.host_memory_bytes / std::min(devices.device_count, kind.devices_per_node);
    int64_t& budget = question.host_memory_budget_bytes;
    budget = budget == 0 ? share : std::min(budget, share);
  }
  return question;
}

double DeviceHours(const Prediction& prediction, const DeviceGroup& devices) {
  return prediction.time.total_hours * static_cast<double>(devices.device_count);
}

}  // namespace tunesmith::planner
