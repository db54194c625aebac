#include "server/launch/slurm/slurm_states.h"

#include <algorithm>
#include <string_view>

#include "common/str_cat.h"
#include "server/launch/launcher.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

struct State {
  std::string_view name;
  SlurmPhase phase;
  v1::EndCause cause = v1::END_CAUSE_UNSPECIFIED;
  std::string_view told = {};
};

// Names as squeue(1), sacct(1) and the JSON of 22.05 to 25.11 have them.
constexpr State kStates[] = {
    {"PENDING", SlurmPhase::kPending},
    {"REQUEUED", SlurmPhase::kPending},
    {"REQUEUE_FED", SlurmPhase::kPending},
    {"EXPEDITING", SlurmPhase::kPending},
    {"REQUEUE_HOLD", SlurmPhase::kHeld},
    {"RESV_DEL_HOLD", SlurmPhase::kHeld},
    {"SPECIAL_EXIT", SlurmPhase::kHeld},
    {"CONFIGURING", SlurmPhase::kRunning},
    {"POWER_UP_NODE", SlurmPhase::kRunning},
    {"RUNNING", SlurmPhase::kRunning},
    {"SUSPENDED", SlurmPhase::kRunning},
    {"STOPPED", SlurmPhase::kRunning},
    {"RESIZING", SlurmPhase::kRunning},
    {"UPDATE_DB", SlurmPhase::kRunning},
    {"SIGNALING", SlurmPhase::kRunning},
    {"STAGE_OUT", SlurmPhase::kEnding},
    {"COMPLETING", SlurmPhase::kEnding},
    {"COMPLETED", SlurmPhase::kEnded, v1::END_CAUSE_LOST, "ended"},
    {"FAILED", SlurmPhase::kEnded, v1::END_CAUSE_LOST, "failed"},
    {"CANCELLED", SlurmPhase::kEnded, v1::END_CAUSE_CANCELLED, "was cancelled"},
    {"TIMEOUT", SlurmPhase::kEnded, v1::END_CAUSE_TIME_LIMIT, "reached its time limit"},
    {"DEADLINE", SlurmPhase::kEnded, v1::END_CAUSE_TIME_LIMIT, "reached its deadline"},
    {"PREEMPTED", SlurmPhase::kEnded, v1::END_CAUSE_PREEMPTED, "was preempted"},
    {"NODE_FAIL", SlurmPhase::kEnded, v1::END_CAUSE_NODE_FAILED, "lost a node"},
    {"BOOT_FAIL", SlurmPhase::kEnded, v1::END_CAUSE_NODE_FAILED, "had a node that did not boot"},
    {"LAUNCH_FAILED", SlurmPhase::kEnded, v1::END_CAUSE_NODE_FAILED, "could not be started"},
    {"RECONFIG_FAIL", SlurmPhase::kEnded, v1::END_CAUSE_NODE_FAILED,
     "had a node that could not be set up"},
    {"OUT_OF_MEMORY", SlurmPhase::kEnded, v1::END_CAUSE_KILLED,
     "ran out of the memory that it had asked for"},
    {"REVOKED", SlurmPhase::kEnded, v1::END_CAUSE_CANCELLED, "was revoked"},
};

const State* Find(std::string_view name) {
  const auto* found = std::find_if(std::begin(kStates), std::end(kStates),
                                   [&](const State& state) { return state.name == name; });
  return found == std::end(kStates) ? nullptr : found;
}

// A job that Slurm tried to start and could not is held, in words that differ with the version, and
// which the JSON has in the description: its reason is that of a job that a user holds.
bool SaysLaunchFailed(const std::string& text) {
  return text.find("launch") != std::string::npos && text.find("held") != std::string::npos;
}

struct Wait {
  std::string_view reason;
  std::string_view meaning;
};

constexpr Wait kWaits[] = {
    {"Resources", "for nodes that are in use"},
    {"Priority", "behind jobs of higher priority"},
    {"Dependency", "for another job"},
    {"BeginTime", "for its begin time"},
    {"JobHeldUser", "it is held: scontrol release lets it go"},
    {"JobHeldAdmin", "an administrator holds it"},
    {"ReqNodeNotAvail", "for nodes that are down, drained or reserved"},
    {"Reservation", "for its reservation"},
    {"PartitionDown", "the partition is down"},
    {"PartitionTimeLimit", "it asks for more time than the partition allows"},
    {"PartitionNodeLimit", "it asks for more nodes than the partition allows"},
    {"QOSMaxJobsPerUserLimit", "for others of this user's jobs"},
    {"QOSMaxGRESPerUser", "for GPUs of this user's other jobs"},
    {"AssocGrpGRES", "for GPUs of the account's other jobs"},
    {"Licenses", "for licences"},
};

}  // namespace

SlurmPhase PhaseOf(const SlurmJob& job) {
  const State* base = Find(job.states.front());
  SlurmPhase phase = base == nullptr ? SlurmPhase::kRunning : base->phase;
  for (const std::string& name : job.states) {
    const State* state = Find(name);
    if (state == nullptr) continue;
    // Flags: something that is being ended is not ended, and a hold outlasts the state beside it.
    if (state->phase == SlurmPhase::kEnding) return SlurmPhase::kEnding;
    if (state->phase == SlurmPhase::kHeld) phase = SlurmPhase::kHeld;
    if (state->name.starts_with("REQUEUE") && phase == SlurmPhase::kEnded)
      phase = SlurmPhase::kPending;
  }
  if (phase == SlurmPhase::kPending && IsHeldByFailedLaunch(job)) return SlurmPhase::kHeld;
  return phase;
}

bool IsHeldByFailedLaunch(const SlurmJob& job) {
  return SaysLaunchFailed(job.reason) || SaysLaunchFailed(job.description);
}

v1::JobExit ExitOf(const SlurmJob& job) {
  const State* state = Find(job.states.front());
  const bool known = state != nullptr && state->phase == SlurmPhase::kEnded;
  const v1::EndCause cause = known ? state->cause : v1::END_CAUSE_LOST;
  std::string reason =
      StrCat("Slurm job ", job.id, " ", known ? state->told : std::string_view(job.states.front()));
  if (!job.nodes.empty()) reason += StrCat(" on ", job.nodes);
  if (job.signal > 0) reason += StrCat(", by signal ", SignalName(static_cast<int>(job.signal)));
  if (job.signal == 0 && job.exit_code > 0) reason += StrCat(", with status ", job.exit_code);
  if (cause == v1::END_CAUSE_LOST) reason += ", and left no exit.json";
  v1::JobExit exit = ExitFor(cause, reason);
  exit.set_exit_code(job.signal > 0 ? 128 + job.signal : job.exit_code);
  exit.set_signal(job.signal);
  return exit;
}

std::string WaitReason(const SlurmJob& job) {
  std::string text = StrCat("Slurm job ", job.id, " waits");
  if (job.reason.empty()) return text;
  text += ": " + job.reason;
  for (const Wait& wait : kWaits) {
    if (wait.reason == job.reason) text += StrCat(" (", wait.meaning, ")");
  }
  if (!job.description.empty()) text += ": " + job.description;
  return text;
}

}  // namespace tunesmith::server
