#include "server/supervisor.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/job_states.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

constexpr std::chrono::milliseconds kTick(100);
// A shim writes shim.json within milliseconds of its start; a host that swaps may need longer.
constexpr absl::Duration kShimStartLimit = absl::Seconds(20);
constexpr absl::Duration kShimGoneLimit = absl::Seconds(1);

bool Exists(const v1::Job& job, const std::string& name) {
  return access(InDirectory(job.run_directory(), name).c_str(), F_OK) == 0;
}

std::string ShimLog(const v1::Job& job) {
  return StrCat("; see ", InDirectory(job.run_directory(), convert::kShimLogFile));
}

}  // namespace

Supervisor::Supervisor(Store& store, HostLauncherOptions launcher,
                       std::function<void(const std::string& line)> log)
    : store_(store), launcher_(std::move(launcher)), log_(std::move(log)) {}

void Supervisor::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Supervisor::Stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Supervisor::Wake() {
  std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void Supervisor::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    if (const absl::Status status = Tick(); !status.ok())
      log_(StrCat("supervision: ", status.ToString()));
    lock.lock();
    wake_.wait_for(lock, kTick, [this] { return stopping_ || woken_; });
  }
}

absl::Status Supervisor::Tick() {
  ReapShims();
  bool slot_is_free = true;
  for (const v1::JobState state : {v1::JOB_STATE_LAUNCHING, v1::JOB_STATE_RUNNING}) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<JobRecord> records, store_.JobsInState(state));
    for (const JobRecord& record : records) {
      slot_is_free = false;
      // One job's trouble (its directory was removed, say) does not keep the others from being
      // looked at.
      const absl::Status status = Supervise(record.job);
      if (!status.ok()) log_(StrCat(record.job.name(), ": ", status.ToString()));
    }
  }
  return slot_is_free ? LaunchNext() : absl::OkStatus();
}

absl::Status Supervisor::LaunchNext() {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<JobRecord> queued,
                             store_.JobsInState(v1::JOB_STATE_QUEUED));
  return queued.empty() ? absl::OkStatus() : Launch(queued.front().job.name());
}

// The state is stored before the shim is started, so that a server that is killed in between finds
// the job in LAUNCHING and starts the same attempt again; of two shims of one attempt, one ends.
absl::Status Supervisor::Launch(const std::string& name) {
  TUNESMITH_RETURN_IF_ERROR(MarkLaunching(store_, name).status());
  TUNESMITH_ASSIGN_OR_RETURN(const v1::Job job, store_.GetJob(name));
  absl::Status status = PrepareRunDirectory(job);
  if (status.ok()) {
    const absl::StatusOr<pid_t> pid = StartShim(launcher_, job);
    status = pid.status();
    if (pid.ok()) shims_[name] = *pid;
  }
  if (status.ok()) return status;
  return MarkFailed(store_, name, std::string(status.message())).status();
}

Supervisor::Sight Supervisor::Look(const v1::Job& job) {
  Sight sight;
  sight.claimed = Exists(job, convert::AttemptFile(job.attempt()));
  sight.has_handle = sight.claimed &&
                     convert::ReadJsonFile(InDirectory(job.run_directory(), convert::kShimFile),
                                           &sight.handle, convert::UnknownFields::kIgnore)
                         .ok() &&
                     sight.handle.attempt() == job.attempt();
  if (!sight.has_handle) return sight;
  // In this order: a shim writes exit.json before it ends, so one that is gone has written it.
  sight.shim_alive = IsAlive(sight.handle.pid(), sight.handle.start_ticks());
  const absl::Status exit =
      convert::ReadJsonFile(InDirectory(job.run_directory(), convert::kExitFile), &sight.exit,
                            convert::UnknownFields::kIgnore);
  sight.has_exit = exit.ok();
  sight.exit_problem = std::string(exit.message());
  return sight;
}

absl::Status Supervisor::Supervise(const v1::Job& job) {
  const Sight sight = Look(job);
  if (!sight.has_handle) return SuperviseUnclaimed(job, sight);
  waiting_since_.erase(job.name());
  if (job.state() == v1::JOB_STATE_LAUNCHING)
    TUNESMITH_RETURN_IF_ERROR(MarkRunning(store_, job.name()).status());
  // Also after the shim's end: what the trainer wrote last is read before the job's end is
  // recorded.
  TUNESMITH_RETURN_IF_ERROR(Ingest(job.name(), job.run_directory()));
  if (!sight.shim_alive) return SuperviseGone(job, sight);
  // Told again at every tick, which the shim takes for once; so nothing is lost when this server is
  // killed in between.
  if (job.cancel_requested())
    SignalProcess(sight.handle.pid(), sight.handle.start_ticks(), SIGTERM);
  return absl::OkStatus();
}

// No shim.json of this attempt: the shim is about to write it, or ended before it could, or was
// never started.
absl::Status Supervisor::SuperviseUnclaimed(const v1::Job& job, const Sight& sight) {
  const absl::Time since = waiting_since_.try_emplace(job.name(), absl::Now()).first->second;
  const bool started_here = shims_.contains(job.name());
  if (job.state() == v1::JOB_STATE_LAUNCHING && !sight.claimed && !started_here) {
    // The server that stored LAUNCHING was killed before, or just after, it started the shim.
    TUNESMITH_ASSIGN_OR_RETURN(const v1::Job whole, store_.GetJob(job.name()));
    TUNESMITH_RETURN_IF_ERROR(PrepareRunDirectory(whole));
    TUNESMITH_ASSIGN_OR_RETURN(shims_[job.name()], StartShim(launcher_, whole));
    return absl::OkStatus();
  }
  const bool may_still_come = started_here ? IsOurShimAlive(job.name()) : sight.claimed;
  if (absl::Now() - since < (may_still_come ? kShimStartLimit : kShimGoneLimit))
    return absl::OkStatus();
  waiting_since_.erase(job.name());
  return MarkFailed(store_, job.name(),
                    StrCat("tunesmith-shim did not start attempt ", job.attempt(), ShimLog(job)))
      .status();
}

absl::Status Supervisor::SuperviseGone(const v1::Job& job, const Sight& sight) {
  if (sight.has_exit) return MarkEnded(store_, job.name(), sight.exit).status();
  // The shim itself was killed, or the host was restarted. A trainer without a shim is stopped,
  // since nobody would hear of its end.
  SignalGroup(sight.handle.trainer_pid(), sight.handle.trainer_start_ticks(), SIGKILL);
  return MarkFailed(store_, job.name(),
                    StrCat("lost: tunesmith-shim (process ", sight.handle.pid(),
                           ") is gone, killed or ended by a restart of the host, and left no good "
                           "exit.json: ",
                           sight.exit_problem, ShimLog(job)))
      .status();
}

absl::Status Supervisor::Ingest(const std::string& name, const std::string& run_directory) {
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const JobRecord record, store_.GetRecord(name));
    TUNESMITH_ASSIGN_OR_RETURN(const convert::EventLines read,
                               convert::ReadEventLines(run_directory, record.event_offset));
    if (read.lines.empty() && read.next_offset == record.event_offset) return absl::OkStatus();
    TUNESMITH_RETURN_IF_ERROR(IngestLines(store_, name, read.lines, read.next_offset).status());
  }
}

bool Supervisor::IsOurShimAlive(const std::string& name) {
  const auto shim = shims_.find(name);
  return shim != shims_.end() && StartTicks(shim->second).ok();
}

void Supervisor::ReapShims() {
  for (auto& [name, pid] : shims_) {
    if (pid > 0 && waitpid(pid, nullptr, WNOHANG) == pid) pid = 0;
  }
}

}  // namespace tunesmith::server
