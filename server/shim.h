#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tunesmith/v1/run_directory.pb.h"

// The shim: the process between server and trainer. One shim runs one attempt of one job. It
// outlives the server, which finds it again through shim.json, and it sees to it that an attempt
// always ends in an exit.json.
namespace tunesmith::server {

struct ShimOptions {
  std::string run_directory;
  int64_t attempt = 1;
  std::string trainer_path;
  absl::Duration grace = absl::Seconds(60);  // from SIGTERM to SIGKILL

  // Where a cluster runs the shim:
  std::string cluster_job;  // how the cluster calls the job; empty: no cluster
  int64_t node_count = 1;   // nodes that it has
  // HOST:PORT where ranks meet by TCP, on the first node; every node then runs a shim of its own, that of the first is the attempt's. Empty: one shim for all nodes.
  std::string master;
  int64_t node_index = 0;  // of this shim's node
  // Queues the job again, when the trainer has saved because time was nearly up; empty: nothing does.
  std::vector<std::string> requeue_command;
  // How long an attempt waits, after claiming, for the end of earlier ones that may still run somewhere: they see the claim within this time and
  // end.
  absl::Duration fence_delay = absl::Seconds(5);
};

// What the shim of a cluster job ends with where the trainer has saved because it was told to, and may go on elsewhere (EX_TEMPFAIL of sysexits.h).
inline constexpr int kSavedExitStatus = 75;

// Whether an attempt that ended so may go on in another one that the cluster starts by itself: the trainer has saved because it was told to, or a node is lost.
bool MayGoOn(const v1::JobExit& exit);

// Claims the attempt (attempt-N, created exclusively, telling who claims it), moves the exit.json of an earlier attempt to
// log/, writes shim.json, starts `trainer run --run-dir DIR` in its own process group with
// TUNESMITH_ATTEMPT in its environment, and waits for it. A plan of several ranks is started as
// rank_launch.h says. A trainer whose shim is killed is killed by the kernel, since nobody would hear of
// its end. SIGTERM and SIGINT are passed on to the group, as SIGUSR1 where it is
// mpirun's; when the grace has passed, SIGKILL. A trainer that cannot be started, or that ends without
// exit.json, gets one that says why. Returns when nothing of the attempt runs any more: the exit.
//
// Under a cluster: a job that the cluster has started again takes the next attempt, unless another job has
// a newer one or it has ended for good. SIGUSR1 means that time is nearly up: the trainer saves and
// ends, and the job is queued again. An attempt that finds a newer one kills its trainer and leaves
// the run directory to it.
// ALREADY_EXISTS: another shim has this attempt, or a newer one; nothing was changed. Other errors:
// the run directory cannot be written. REQUIRES: the process has one thread.
absl::StatusOr<v1::JobExit> RunShim(const ShimOptions& options);

}  // namespace tunesmith::server
