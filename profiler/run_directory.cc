#include "profiler/run_directory.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::profiler {

using convert::InDirectory;

std::string ShowProgress(const v1::CalibrationProgress& progress) {
  if (progress.done_probe_count() == 0)
    return StrCat("other work takes ", std::lround(100 * progress.busy_share()),
                  " % of the processors; ", progress.probe_count(), " programs to run within ",
                  FormatSeconds(progress.budget_seconds()));
  return StrCat("probe ", progress.done_probe_count(), "/", progress.probe_count(), ": ",
                progress.probe(), ", step ", FormatSeconds(progress.probe_step_seconds()),
                progress.resumed_probe_count() == progress.done_probe_count()
                    ? " (measured by a run that was cut off)"
                    : "",
                "; ", FormatSeconds(progress.spent_seconds()), " of ",
                FormatSeconds(progress.budget_seconds()), " spent");
}

absl::StatusOr<RunDirectory> RunDirectory::Claim(const std::string& path) {
  RunDirectory run;
  if (path.empty()) return run;
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(path));
  TUNESMITH_ASSIGN_OR_RETURN(run.lock_, FileLock::Take(InDirectory(path, convert::kRunLockFile)));
  if (std::filesystem::exists(InDirectory(path, convert::kProgressFile)))
    return absl::FailedPreconditionError(StrCat("a calibration was run in ", path, " before"));
  run.path_ = path;
  run.last_.set_process_id(getpid());
  TUNESMITH_RETURN_IF_ERROR(run.Write());
  return run;
}

absl::Status RunDirectory::Write() const {
  return convert::WriteJsonFile(InDirectory(path_, convert::kProgressFile), last_);
}

void RunDirectory::Tell(v1::CalibrationProgress progress) {
  if (path_.empty()) return;
  last_ = std::move(progress);
  last_.set_process_id(getpid());
  (void)Write();
}

absl::Status RunDirectory::TellEnd(const absl::StatusOr<planner::Calibration>& calibration) {
  if (path_.empty()) return absl::OkStatus();
  if (calibration.ok()) last_.set_calibration_id(calibration->id);
  if (!calibration.ok()) last_.set_error(std::string(calibration.status().message()));
  return Write();
}

}  // namespace tunesmith::profiler
