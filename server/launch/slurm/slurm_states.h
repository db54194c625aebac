#pragma once

#include "server/launch/slurm/job_table.h"
#include "tunesmith/v1/events.pb.h"
#include "tunesmith/v1/run_directory.pb.h"

// What Slurm's states mean to us.
namespace tunesmith::server {

enum class SlurmPhase {
  kPending,  // waits, or was queued again
  kHeld,     // waits until somebody releases it
  kRunning,  // has nodes; its prolog may still run
  kEnding,   // is being ended; something of it may still run
  kEnded,    // nothing of it runs
};

// A state that is not known counts as running: we go on watching.
SlurmPhase PhaseOf(const SlurmJob& job);

// It is held because Slurm tried to start it and could not, not by somebody's wish. REQUIRES: kHeld.
bool IsHeldByFailedLaunch(const SlurmJob& job);

// How a job ended that has left no word of its own: TIMEOUT is TIME_LIMIT, NODE_FAIL is NODE_FAILED,
// ... with a reason for people. REQUIRES: kEnded.
v1::JobExit ExitOf(const SlurmJob& job);

// What a pending job waits for, for people: "Slurm job 17 waits: Resources (for nodes that are in
// use)".
std::string WaitReason(const SlurmJob& job);

}  // namespace tunesmith::server
