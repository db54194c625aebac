#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/calibration_history.h"
#include "server/calibration_runs.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {

struct CalibratorOptions {
  std::string profiler_path;
  std::string data_directory;
  absl::Duration grace = absl::Seconds(10);  // from asking the profiler to stop to killing it
};

// Carries runs of calibrations from QUEUED to their end, one at a time, each as a tunesmith-profiler in a session of its own that outlives the server. Like the
// supervisor it remembers nothing that it could not see again: a profiler holds the lock of its run directory as long as it lives, and tells there how far it is and how it ended.
// The supervisor's thread alone calls it.
class Calibrator {
 public:
  // Runs and history outlive the calibrator.
  Calibrator(CalibrationRuns& runs, CalibrationHistory& history, CalibratorOptions options)
      : runs_(runs), history_(history), options_(std::move(options)) {}
  ~Calibrator() { (void)IsChildAlive(); }

  // Looks at the runs and acts on what it sees. `host_jobs` are LAUNCHING or RUNNING on this host: a run waits for their end. What the host's queued jobs must wait
  // for; empty: nothing.
  absl::StatusOr<std::string> Tick(const std::vector<v1::Job>& host_jobs);

 private:
  absl::Status Begin(const v1::CalibrationRun& run);
  absl::Status Spawn(const v1::CalibrationRun& run);
  absl::Status Supervise(const v1::CalibrationRun& run);
  absl::Status LookAtUnclaimed(const v1::CalibrationRun& run);
  absl::Status Stop(const v1::CalibrationRun& run, int64_t process_id);
  absl::Status EndBy(const v1::CalibrationRun& run, const v1::CalibrationProgress& progress);
  absl::Status Succeed(const v1::CalibrationRun& run, const std::string& id);
  absl::Status Say(const v1::CalibrationRun& run, const std::string& reason);
  absl::Status End(const v1::CalibrationRun& run, v1::CalibrationRunState state,
                   const std::string& reason);
  bool IsOverdue(const v1::CalibrationRun& run);
  bool IsChildAlive();
  std::string DirectoryOf(const v1::CalibrationRun& run) const;

  using Clock = std::chrono::steady_clock;

  CalibrationRuns& runs_;
  CalibrationHistory& history_;
  const CalibratorOptions options_;
  pid_t child_ = 0;          // a child of this process that was not reaped
  std::string child_run_;    // its run
  std::string watched_run_;  // the run that measures, and since when we know
  Clock::time_point watched_since_;
  std::optional<Clock::time_point> stop_asked_;
};

}  // namespace tunesmith::server
