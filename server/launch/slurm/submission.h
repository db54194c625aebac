#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/launch/slurm/sbatch_script.h"
#include "tunesmith/v1/jobs.pb.h"

// What a job is to Slurm: pure functions of the job and of how the server was started.
namespace tunesmith::server {

struct SlurmLauncherOptions {
  std::string shim_path;
  std::string trainer_path;
  absl::Duration grace = absl::Seconds(60);  // from asking a trainer to save to killing it
  v1::SlurmOptions defaults;                 // for jobs that do not say otherwise
  absl::Duration poll_interval = absl::Seconds(10);
  absl::Duration command_timeout = absl::Seconds(20);
  absl::Duration fence_delay = absl::Seconds(5);  // as ShimOptions
};

// The job's own options over the server's; a list of further options is taken as a whole.
v1::SlurmOptions MergeSlurmOptions(const v1::SlurmOptions& defaults, const v1::SlurmOptions& own);

// INVALID_ARGUMENT names the field and says what is wrong with it.
absl::Status CheckSlurmOptions(const v1::SlurmOptions& options);

// How long before the time limit the trainer is asked to save: the grace, and what Slurm itself may be
// late by.
absl::Duration WarningBeforeLimit(const SlurmLauncherOptions& options);

// The batch script of the job's present attempt. REQUIRES: the job has its plan.
absl::StatusOr<SbatchScript> ScriptOf(const SlurmLauncherOptions& options, const v1::Job& job);

}  // namespace tunesmith::server
