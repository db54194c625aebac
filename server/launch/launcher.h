#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/job_exit.h"
#include "tunesmith/v1/clusters.pb.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/run_directory.pb.h"

// How attempts of jobs get to run somewhere, and what the supervisor may count on. An attempt is
// named by its job's uid and its number, and:
//
//   - the supervisor stores its wish to start an attempt before it calls Start, and the handle that
//     Start gives afterwards. A server that was killed in between calls Find first, then Start
//     again; so Start must be harmless for an attempt that was started already (the shim's claim of
//     attempt-N sees to that: of two shims of one attempt, one ends at once);
//   - a launcher remembers nothing that it could not find out again: it may be another process than
//     the one that started an attempt;
//   - "I cannot tell now" is an error status (UNAVAILABLE: a cluster's controller does not answer).
//     The supervisor then leaves the job as it is and asks again; it never takes an error for an end.
//
// All functions but Check, Render and Describe are called from the supervisor's thread alone.
namespace tunesmith::server {

// What is known of an attempt. A job that runs and is seen waiting was queued again by the place itself.
struct AttemptView {
  enum class Phase {
    kWaiting,  // handed over; does not run yet
    kRunning,
    kEnded,  // and nothing of it runs any more
  };
  Phase phase = Phase::kWaiting;
  std::string reason;                                  // kWaiting: for what, where it is known
  absl::Time expected_start = absl::InfiniteFuture();  // kWaiting, where it is known
  v1::JobExit exit;  // kEnded: with a terminal state, a cause and a reason
  // The attempt that this is about, where the place has started the job again by itself (Slurm's
  // requeue) and so begun a later one; 0: the job's present attempt.
  int64_t attempt = 0;
};

// Whether a queued job may be started now.
struct Admission {
  bool admitted = false;
  std::string reason;  // not admitted: what it waits for
  std::vector<int64_t> gpu_indices =
      {};  // admitted: the GPUs that it gets, where the launcher chooses
};

// Views of the three phases.
AttemptView WaitingView(std::string reason, absl::Time expected_start = absl::InfiniteFuture());
AttemptView RunningView();
AttemptView EndedView(v1::JobExit exit);

class Launcher {
 public:
  virtual ~Launcher() = default;

  // "host", "slurm", "kubernetes". What Job.launcher says; the cluster is "clusters/" + name.
  virtual std::string_view name() const = 0;

  // What a job takes, of which plan, spec and what is asked of the place are set; FAILED_PRECONDITION
  // where it can never run here, with the amounts and the cure. Thread-safe.
  virtual absl::StatusOr<v1::ResourceClaim> Check(const v1::Job& job) const = 0;

  // What Start would do for this job. The job may not be stored yet: its run directory then holds a
  // placeholder. Thread-safe.
  virtual absl::StatusOr<v1::RenderedSubmission> Render(const v1::Job& job) const = 0;

  // Place and free room, when `active` (LAUNCHING and RUNNING here) have theirs. Thread-safe.
  virtual v1::Cluster Describe(const std::vector<v1::Job>& active) const = 0;

  // Which of `queue`, in its order, may start beside `active`; one answer for each. Jobs have their
  // claims, not their plans.
  virtual std::vector<Admission> Admit(const std::vector<v1::Job>& queue,
                                       const std::vector<v1::Job>& active) = 0;

  // Starts the job's present attempt and returns how it is called here. The job has its plan, and
  // its run directory is written. Errors that a repetition may cure are UNAVAILABLE; all others end
  // the attempt as END_CAUSE_NOT_STARTED.
  virtual absl::StatusOr<std::string> Start(const v1::Job& job) = 0;

  // How the present attempt is called here; empty: it was not started.
  virtual absl::StatusOr<std::string> Find(const v1::Job& job) = 0;

  // What is known of the present attempt.
  virtual absl::StatusOr<AttemptView> Look(const v1::Job& job, const std::string& handle) = 0;

  // Asks the present attempt to save and end. Called again and again until it has.
  virtual absl::Status Cancel(const v1::Job& job, const std::string& handle) = 0;
};

// Cluster, named and described.
v1::Cluster ClusterOf(std::string_view launcher, const std::string& description);

// The command that runs the job's present attempt (the first, where none was started): tunesmith-shim, word by word.
std::vector<std::string> ShimCommand(const std::string& shim_path, const std::string& trainer_path,
                                     absl::Duration grace, const v1::Job& job);

// Lets every job of a queue start: the cluster has a queue of its own.
std::vector<Admission> AdmitAll(const std::vector<v1::Job>& queue);

// How the job's present attempt (the first, where none was started) is called at a cluster. Its uid stands for the request that made the job, so that a
// submission that is repeated meets its own.
std::string ClusterJobName(const v1::Job& job);

// What the names of all of the job's attempts begin with.
std::string ClusterJobNameBegin(const v1::Job& job);

// Adds a file to what is submitted; then the two that PrepareRunDirectory writes.
void AddFile(const std::string& path, const std::string& text, v1::RenderedSubmission& submission);
void AddJobFiles(const v1::Job& job, v1::RenderedSubmission& submission);

// Makes the job's run directory with plan.json and job.json; they are the same at every attempt.
// REQUIRES: the job has its plan.
absl::Status PrepareRunDirectory(const v1::Job& job);

// Claims the job's present attempt for nobody, so that it runs nothing where it was handed over without our having heard so, and starts late. Errors, as
// ALREADY_EXISTS: it has started, say. Where there is no run directory, nothing can start.
absl::Status ForbidAttempt(const v1::Job& job);

}  // namespace tunesmith::server
