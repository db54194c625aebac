#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tunesmith/v1/jobs.pb.h"

// Starts attempts on this host, through tunesmith-shim.
namespace tunesmith::server {

struct HostLauncherOptions {
  std::string shim_path;
  std::string trainer_path;
  absl::Duration grace = absl::Seconds(60);  // from SIGTERM to SIGKILL
};

// Makes the job's run directory with plan.json and job.json; they are the same at every attempt.
// REQUIRES: the job has its plan.
absl::Status PrepareRunDirectory(const v1::Job& job);

// Starts the shim of the job's present attempt in a session of its own and returns its process id;
// the caller reaps it. Starting an attempt twice is harmless: the second shim finds attempt-N and
// ends.
absl::StatusOr<pid_t> StartShim(const HostLauncherOptions& options, const v1::Job& job);

}  // namespace tunesmith::server
