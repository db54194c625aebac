#include "server/launch/slurm/slurm_launcher.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/error_info.h"
#include "server/launch/cluster_claim.h"
#include "server/launch/sight.h"
#include "server/launch/slurm/cluster_view.h"
#include "server/launch/slurm/slurm_states.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

constexpr char kSlurmLogFile[] = "log/slurm.log";
constexpr absl::Duration kCancelAgain = absl::Seconds(10);

std::string ScriptFile(const v1::Job& job) {
  return InDirectory(job.run_directory(),
                     StrCat("sbatch-", std::max<int64_t>(1, job.attempt()), ".sh"));
}

std::string SlurmLog(const v1::Job& job) {
  return StrCat("; see ", InDirectory(job.run_directory(), kSlurmLogFile));
}

absl::StatusOr<int64_t> JobNumber(const std::string& handle) {
  int64_t id = 0;
  if (absl::SimpleAtoi(handle, &id) && id > 0) return id;
  return absl::InternalError(StrCat("\"", handle, "\" is no number of a Slurm job"));
}

// The Slurm job that has the present attempt: whoever claimed it, else the one that was submitted.
absl::StatusOr<int64_t> NumberOf(const v1::Job& job, const std::string& handle) {
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(job.run_directory(), job.attempt()));
  return JobNumber(sight.has_claimer ? sight.shim.cluster_job() : handle);
}

// Slurm gives numbers again, as after its state was lost: a job of another name is somebody else's.
std::optional<SlurmJob> IfOwn(const v1::Job& job, std::optional<SlurmJob> found) {
  if (found && !found->name.starts_with(ClusterJobNameBegin(job))) return std::nullopt;
  return found;
}

absl::StatusOr<AttemptView> ViewForgotten(int64_t number, const Sight& sight) {
  if (sight.exit) return EndedView(*sight.exit);
  // Its controller crashed before it had written the job down, say. Nothing was lost but its place.
  if (!sight.claimed) {
    return EndedView(ExitFor(v1::END_CAUSE_PREEMPTED, StrCat("Slurm has forgotten job ", number,
                                                             ", which had not started")));
  }
  return EndedView(ExitFor(
      v1::END_CAUSE_LOST,
      StrCat("lost: Slurm job ", number,
             " left no exit.json, and neither the queue nor Slurm's records know it any more")));
}

AttemptView ViewRunning(const SlurmJob& job, const Sight& sight) {
  if (sight.has_handle) return RunningView();
  return WaitingView(StrCat("Slurm job ", job.id, " starts on ", job.nodes));
}

// The run directory's word goes before Slurm's, which knows of processes only. That somebody wanted
// the job to end, only Slurm knows.
v1::JobExit ExitOf(const v1::Job& job, const SlurmJob& slurm, const Sight& sight) {
  v1::JobExit exit = sight.exit ? *sight.exit : ExitOf(slurm);
  if (slurm.states.front() == "CANCELLED" && exit.state() == v1::JOB_STATE_CANCELLED) {
    exit.set_cause(v1::END_CAUSE_CANCELLED);
    if (exit.reason().empty()) exit.set_reason(ExitOf(slurm).reason());
  }
  if (!sight.exit && !sight.claimed && exit.cause() == v1::END_CAUSE_LOST) {
    exit = ExitFor(v1::END_CAUSE_NOT_STARTED,
                   StrCat(ExitOf(slurm).reason(), ": tunesmith-shim did not start attempt ",
                          job.attempt(), SlurmLog(job)));
  }
  return exit;
}

// "sbatch: Job 4 to start at 2026-11-26T20:39:33 using 1 processors on nodes n0 in partition gpu".
std::string Outlook(const CommandResult& result) {
  const std::string line = FirstLine(result.errors);
  const size_t at = line.find("to start at ");
  return at == std::string::npos ? line : StrCat("Slurm would start it: ", line.substr(at));
}

}  // namespace

SlurmLauncher::SlurmLauncher(SlurmLauncherOptions options)
    : options_(std::move(options)),
      queue_(options_.poll_interval, options_.command_timeout),
      news_(options_.poll_interval) {}

absl::StatusOr<v1::ResourceClaim> SlurmLauncher::Check(const v1::Job& job) const {
  TUNESMITH_RETURN_IF_ERROR(ScriptOf(options_, job).status());
  return ClusterClaim("Slurm", job.plan(), job.spec());
}

absl::StatusOr<v1::RenderedSubmission> SlurmLauncher::Render(const v1::Job& job) const {
  TUNESMITH_ASSIGN_OR_RETURN(const SbatchScript script, ScriptOf(options_, job));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, RenderSbatch(script));
  v1::RenderedSubmission submission;
  submission.set_launcher(std::string(name()));
  for (const std::string& word :
       {std::string("sbatch"), std::string("--parsable"), ScriptFile(job)})
    submission.add_arguments(word);
  AddFile(ScriptFile(job), text, submission);
  AddJobFiles(job, submission);
  TUNESMITH_ASSIGN_OR_RETURN(
      const CommandResult result,
      RunSlurm({"sbatch", "--test-only"}, options_.command_timeout, "", text));
  const absl::Status status = StatusOf("sbatch --test-only", result);
  if (absl::IsFailedPrecondition(status)) return WithReason(status, "CLUSTER_REFUSES");
  TUNESMITH_RETURN_IF_ERROR(status);
  submission.set_outlook(Outlook(result));
  return submission;
}

v1::Cluster SlurmLauncher::Describe(const std::vector<v1::Job>&) const {
  std::lock_guard lock(mutex_);
  if (SteadyNow() - cluster_read_ < options_.poll_interval) return cluster_;
  cluster_ = ClusterOf(name(), "Slurm, by its commands");
  const auto result = RunSlurm(SinfoArguments(), options_.command_timeout);
  cluster_read_ = SteadyNow();
  const absl::Status status = result.ok() ? StatusOf("sinfo", *result) : result.status();
  if (status.ok()) AddNodes(result->output, cluster_);
  if (!status.ok())
    cluster_.set_description(StrCat("Slurm, which does not answer: ", status.message()));
  return cluster_;
}

std::vector<Admission> SlurmLauncher::Admit(const std::vector<v1::Job>& queue,
                                            const std::vector<v1::Job>&) {
  return AdmitAll(queue);
}

absl::StatusOr<std::string> SlurmLauncher::Start(const v1::Job& job) {
  TUNESMITH_RETURN_IF_ERROR(refused_.Check(ClusterJobName(job)));
  const absl::Time begun = SteadyNow();
  TUNESMITH_ASSIGN_OR_RETURN(const SbatchScript script, ScriptOf(options_, job));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, RenderSbatch(script));
  TUNESMITH_RETURN_IF_ERROR(WriteFileAtomically(ScriptFile(job), text));
  const auto result = RunSlurm({"sbatch", "--parsable", ScriptFile(job)}, options_.command_timeout,
                               job.run_directory());
  const absl::Status status = result.ok() ? StatusOf("sbatch", *result) : result.status();
  TUNESMITH_RETURN_IF_ERROR(
      refused_.Note(ClusterJobName(job), status, SteadyNow() - begun, options_.poll_interval));
  // "17", or "17;cluster" in a federation.
  const std::string line = FirstLine(result->output);
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t number, JobNumber(line.substr(0, line.find(';'))));
  return StrCat(number);
}

absl::StatusOr<std::string> SlurmLauncher::Find(const v1::Job& job) {
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(job.run_directory(), job.attempt()));
  if (sight.has_claimer) return sight.shim.cluster_job();
  // A submission that was refused a moment ago is not repeated yet, so that nothing hangs on the answer.
  TUNESMITH_RETURN_IF_ERROR(refused_.Check(ClusterJobName(job)));
  TUNESMITH_ASSIGN_OR_RETURN(const auto found, queue_.FindByName(ClusterJobName(job)));
  return found ? StrCat(found->id) : "";
}

absl::StatusOr<std::optional<SlurmJob>> SlurmLauncher::FindOwn(const v1::Job& job, int64_t id,
                                                               absl::Duration age) {
  TUNESMITH_ASSIGN_OR_RETURN(auto found, queue_.Find(id, age));
  return IfOwn(job, std::move(found));
}

// What Slurm says of a job, now or in its records; none: it does not know it any more.
absl::StatusOr<std::optional<SlurmJob>> SlurmLauncher::Ask(const v1::Job& own, int64_t id,
                                                           const Sight& sight) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto job, FindOwn(own, id, options_.poll_interval));
  const bool runs = job && PhaseOf(*job) == SlurmPhase::kRunning;
  if (job && !sight.exit && (!sight.claimed || runs)) return job;
  // A queue that was read before the job was submitted says nothing by not having it; one that runs though it has said its last word is about to leave.
  const bool leaves = runs || (job && PhaseOf(*job) == SlurmPhase::kEnding);
  const absl::Duration age = !job     ? absl::ZeroDuration()
                             : leaves ? news_.Soon()
                                      : news_.ListAge(StrCat(id), sight);
  TUNESMITH_ASSIGN_OR_RETURN(const auto newer, FindOwn(own, id, age));
  if (newer) return newer;
  TUNESMITH_ASSIGN_OR_RETURN(auto ended, queue_.FindEnded(id));
  return IfOwn(own, std::move(ended));
}

absl::StatusOr<AttemptView> SlurmLauncher::Look(const v1::Job& job, const std::string& handle) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t number, NumberOf(job, handle));
  const std::string& directory = job.run_directory();
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t known,
                             NewestAttemptOf(directory, job.attempt(), StrCat(number)));
  TUNESMITH_ASSIGN_OR_RETURN(const Sight before, SightOf(directory, known));
  TUNESMITH_ASSIGN_OR_RETURN(const auto slurm, Ask(job, number, before));
  // Read after Slurm was asked: a shim that is gone has written what it had to say.
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t attempt,
                             NewestAttemptOf(directory, job.attempt(), StrCat(number)));
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(directory, attempt));
  TUNESMITH_ASSIGN_OR_RETURN(AttemptView view,
                             slurm ? ViewOf(job, *slurm, sight) : ViewForgotten(number, sight));
  view.attempt = attempt;
  if (view.phase == AttemptView::Phase::kEnded) Forget(number);
  return view;
}

void SlurmLauncher::Forget(int64_t number) {
  cancelling_.erase(number);
  released_.erase(number);
  news_.Forget(StrCat(number));
}

absl::StatusOr<AttemptView> SlurmLauncher::ViewOf(const v1::Job& job, const SlurmJob& slurm,
                                                  const Sight& sight) {
  switch (PhaseOf(slurm)) {
    case SlurmPhase::kPending:
    case SlurmPhase::kHeld:
      return ViewPending(slurm, sight);
    case SlurmPhase::kRunning:
    case SlurmPhase::kEnding:
      return ViewRunning(slurm, sight);
    case SlurmPhase::kEnded:
      break;
  }
  return EndedView(ExitOf(job, slurm, sight));
}

// A controller that crashed forgets jobs that it had started a moment before: they run, or have run,
// and wait again in its eyes. What has ended for good is not run again; the shim's claims keep the
// others from running twice. One that could not be launched, because its node still had it, is held. (What an operator holds
// stays so.)
absl::StatusOr<AttemptView> SlurmLauncher::ViewPending(const SlurmJob& job, const Sight& sight) {
  if (sight.exit && sight.exit->state() != v1::JOB_STATE_CANCELLED) {
    TUNESMITH_RETURN_IF_ERROR(RunScancel({StrCat(job.id)}));
    return EndedView(*sight.exit);
  }
  AttemptView view = WaitingView(WaitReason(job), job.start);
  if (PhaseOf(job) != SlurmPhase::kHeld || !IsHeldByFailedLaunch(job)) return view;
  TUNESMITH_RETURN_IF_ERROR(Release(job.id));
  view.reason += "; Slurm could not launch it, and it was released to be tried again";
  return view;
}

absl::Status SlurmLauncher::Release(int64_t id) {
  absl::Time& released = released_.try_emplace(id, absl::InfinitePast()).first->second;
  if (SteadyNow() - released < options_.poll_interval) return absl::OkStatus();
  const auto result = RunSlurm({"scontrol", "release", StrCat(id)}, options_.command_timeout);
  released = SteadyNow();
  return result.ok() ? StatusOf("scontrol release", *result) : result.status();
}

absl::Status SlurmLauncher::RunScancel(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "scancel");
  TUNESMITH_ASSIGN_OR_RETURN(const CommandResult result,
                             RunSlurm(std::move(arguments), options_.command_timeout));
  return StatusOf("scancel", result);
}

// One that runs is told through its script, so that it has the grace that the server promises and
// not Slurm's KillWait; when that has passed, Slurm ends it.
absl::Status SlurmLauncher::CancelNow(const v1::Job& job, int64_t number,
                                      absl::Duration since_first) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto found, queue_.Find(number, news_.Soon()));
  if (found && !IfOwn(job, found)) return absl::OkStatus();  // it has ended, and Look tells so
  const bool runs = found && PhaseOf(*found) == SlurmPhase::kRunning;
  const bool has_grace = since_first < options_.grace + kCancelAgain;
  if (runs && has_grace) return RunScancel({"--batch", "--signal=TERM", StrCat(number)});
  return RunScancel({StrCat(number)});
}

absl::Status SlurmLauncher::Cancel(const v1::Job& job, const std::string& handle) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t number, NumberOf(job, handle));
  Cancelling& cancelling =
      cancelling_.try_emplace(number, Cancelling{.first = SteadyNow()}).first->second;
  if (SteadyNow() - cancelling.last < kCancelAgain) return absl::OkStatus();
  const absl::Status status = CancelNow(job, number, SteadyNow() - cancelling.first);
  cancelling.last = SteadyNow();
  return status;
}

}  // namespace tunesmith::server
