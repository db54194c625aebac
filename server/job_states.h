#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store.h"
#include "tunesmith/v1/run_directory.pb.h"

// Every change of a job's state, and nothing else: one function per arrow of v1.JobState. Each is
// one transaction, checks that the job is where the arrow starts (else FAILED_PRECONDITION), and
// records a StateChanged event.
namespace tunesmith::server {

// QUEUED -> LAUNCHING, as the next attempt, on these GPUs (empty: the launcher's own choice).
absl::StatusOr<v1::Job> MarkLaunching(Store& store, const std::string& name,
                                      const std::vector<int64_t>& gpu_indices = {});

// LAUNCHING: what the launcher called the attempt. No event.
absl::StatusOr<v1::Job> KeepHandle(Store& store, const std::string& name,
                                   const std::string& handle);

// QUEUED or LAUNCHING: what the job waits for, and until when. An event in LAUNCHING only.
absl::StatusOr<v1::Job> MarkWaiting(Store& store, const std::string& name,
                                    const std::string& reason,
                                    absl::Time expected_start = absl::InfiniteFuture());

// LAUNCHING or RUNNING -> LAUNCHING: where it runs has queued it, or started it, again by itself;
// `attempt` is the present one or later.
absl::StatusOr<v1::Job> MarkStartedAgain(Store& store, const std::string& name, int64_t attempt,
                                         const std::string& reason);

// LAUNCHING -> RUNNING.
absl::StatusOr<v1::Job> MarkRunning(Store& store, const std::string& name);

// LAUNCHING or RUNNING -> what the attempt's exit says. One that was stopped without CancelJob
// having asked for it was preempted: the job goes back to QUEUED, at its old place.
// `warning` is told to those who watch it before the end; empty: nothing.
absl::StatusOr<v1::Job> MarkEnded(Store& store, const std::string& name, const v1::JobExit& exit,
                                  const std::string& warning = "");

// QUEUED -> CANCELLED; LAUNCHING or RUNNING: the wish is recorded for the supervisor.
absl::StatusOr<v1::Job> RequestCancel(Store& store, const std::string& name);

// FAILED or CANCELLED -> QUEUED, behind those that wait.
absl::StatusOr<v1::Job> Requeue(Store& store, const std::string& name, const RequestKey& key = {});

// Stores lines of the job's events.jsonl and the offset behind them. The job's progress and summary
// follow the events. A line that does not parse becomes a Log event that says so.
absl::StatusOr<v1::Job> IngestLines(Store& store, const std::string& name,
                                    const std::vector<std::string>& lines, int64_t next_offset);

}  // namespace tunesmith::server
