#include "server/drift.h"

#include <algorithm>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/measurement.h"
#include "server/operations/server_metrics.h"

namespace tunesmith::server {
namespace {

constexpr size_t kWindow = 20;
constexpr int64_t kLoadedCount = 2000;

int64_t CountOutside(const std::deque<bool>& steps) {
  return std::count(steps.begin(), steps.end(), true);
}

bool Drifted(const std::deque<bool>& steps) {
  return convert::HaveDrifted(static_cast<int64_t>(steps.size()), CountOutside(steps));
}

}  // namespace

absl::Status Drift::Load(DatabasePool& pool) {
  std::vector<v1::Measurement> newest;
  TUNESMITH_RETURN_IF_ERROR(pool.Read([&](Database& database) -> absl::Status {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare(
            "SELECT measurement FROM measurements ORDER BY measurement_id DESC LIMIT ?"));
    statement.Bind(kLoadedCount);
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) return absl::OkStatus();
      if (!newest.emplace_back().ParseFromString(statement.Bytes(0)))
        return absl::DataLossError("a stored measurement does not parse; restore a backup");
    }
  }));
  std::lock_guard lock(mutex_);
  for (auto measurement = newest.rbegin(); measurement != newest.rend(); ++measurement)
    AddToWindow(*measurement);
  return absl::OkStatus();
}

void Drift::Add(const v1::Measurement& measurement) {
  if (measurement.step_seconds_ratio() <= 0) return;
  TellStep(ProcessMetrics(), convert::IsStepOutside(measurement));
  std::lock_guard lock(mutex_);
  if (AddToWindow(measurement)) ++version_;
}

// REQUIRES: mutex_ held.
bool Drift::AddToWindow(const v1::Measurement& measurement) {
  if (measurement.step_seconds_ratio() <= 0) return false;
  std::deque<bool>& steps =
      outside_[{measurement.device_name(), convert::MethodOf(measurement.mix_line()),
                measurement.calibration_id()}];
  const bool had_drifted = Drifted(steps);
  steps.push_back(convert::IsStepOutside(measurement));
  if (steps.size() > kWindow) steps.pop_front();
  return had_drifted || Drifted(steps);
}

std::string Drift::WarningOf(const std::string& device_name, const std::string& method,
                             const std::string& calibration_id) const {
  std::lock_guard lock(mutex_);
  const auto found = outside_.find({device_name, method, calibration_id});
  if (found == outside_.end()) return "";
  if (!Drifted(found->second)) return "";
  return StrCat("Of the last ", found->second.size(), " jobs by ", method, " on ", device_name,
                ", ", CountOutside(found->second),
                " took steps outside the predicted interval; measure the device",
                calibration_id.empty() ? "" : " again", ": tunesmith calibrate.");
}

}  // namespace tunesmith::server
