#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "server/rank_launch.h"
#include "server/shim.h"

// The trainer of an attempt, or what starts its ranks, as a child of the shim.
namespace tunesmith::server {

// Signals are taken one by one by NextSignal instead of interrupting what runs.
sigset_t BlockSignals();

// Waits for one signal; 0 after a moment without one.
int NextSignal(const sigset_t& signals);

// Starts it, with its output in `log_file` of the run directory.
absl::StatusOr<pid_t> StartTrainer(const ShimOptions& options, const RankLaunch& launch,
                                   const char* log_file);

struct TrainerEnd {
  RankStarter starter = RankStarter::kNone;
  int wait_status = 0;
  bool was_told_to_stop = false;
  bool time_was_nearly_up = false;  // and that is why it was told
  bool was_superseded = false;      // by a newer attempt, and was killed
};

// Passes signals on as shim.h says, until it has ended and nothing of it is left.
TrainerEnd WaitForTrainer(const ShimOptions& options, pid_t trainer, RankStarter starter,
                          const sigset_t& signals);

// The signal that killed the trainer, or one of its ranks; 0: none.
int KillerOf(const TrainerEnd& end);

}  // namespace tunesmith::server
