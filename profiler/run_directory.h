#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file_lock.h"
#include "planner/price/calibration.h"
#include "tunesmith/v1/calibration.pb.h"

namespace tunesmith::profiler {

// One line for people: "probe 3/16: SmolLM2-135M method=..., step 1.2 s".
std::string ShowProgress(const v1::CalibrationProgress& progress);

// Where a server reads how far a calibration is (proto/convert/data_directory.h). Claimed by one profiler, which holds the lock as long as it lives: whoever finds the lock free
// knows that nothing more will be told.
class RunDirectory {
 public:
  // An empty path: nobody is told. FAILED_PRECONDITION: another profiler has claimed it, or has ended in it.
  static absl::StatusOr<RunDirectory> Claim(const std::string& path);

  // Best effort: a disk that is full stops no measurement.
  void Tell(v1::CalibrationProgress progress);

  // The id that was stored, or why there is none.
  absl::Status TellEnd(const absl::StatusOr<planner::Calibration>& calibration);

 private:
  RunDirectory() = default;
  absl::Status Write() const;

  std::string path_;  // empty: nobody is told
  std::optional<FileLock> lock_;
  v1::CalibrationProgress last_;
};

}  // namespace tunesmith::profiler
