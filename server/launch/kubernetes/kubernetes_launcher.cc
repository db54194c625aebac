#include "server/launch/kubernetes/kubernetes_launcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/error_info.h"
#include "server/launch/cluster_claim.h"
#include "server/launch/sight.h"

namespace tunesmith::server {
namespace {

constexpr char kManifestFile[] = "kubernetes-job.json";
constexpr char kServiceFile[] = "kubernetes-service.json";
// Every field must be known to the server: a misspelled or too new one would else be dropped in silence.
constexpr char kStrict[] = "?fieldValidation=Strict&fieldManager=tunesmith";
constexpr absl::Duration kDeleteAgain = absl::Seconds(10);

// The trainer has saved and ended because it was told to. By whom, Kubernetes knows.
v1::JobExit SavedExit(const KubernetesJob& job, v1::JobExit exit) {
  if (exit.state() != v1::JOB_STATE_CANCELLED) return exit;
  exit.set_cause(v1::END_CAUSE_PREEMPTED);
  if (job.reason == "DeadlineExceeded")
    exit.set_reason(StrCat("Kubernetes Job ", job.name, " reached its time limit"));
  return exit;
}

v1::EndCause CauseOf(const KubernetesJob& job, const KubernetesPod* pod, bool claimed) {
  if (job.reason == "DeadlineExceeded") return v1::END_CAUSE_TIME_LIMIT;
  if (pod != nullptr && pod->ended_by == "OOMKilled") return v1::END_CAUSE_KILLED;
  // The first node's shim tells of its ranks itself: where it is silent, it was killed. The others' end as their ranks do.
  const bool is_first = pod == nullptr || pod->index.empty() || pod->index == "0";
  if (!is_first && pod->exit_status > 128) return v1::END_CAUSE_KILLED;
  if (pod != nullptr && !pod->disrupted_by.empty()) return v1::END_CAUSE_NODE_FAILED;
  return claimed ? v1::END_CAUSE_LOST : v1::END_CAUSE_NOT_STARTED;
}

// Of a Job that has ended without a word of the shim.
v1::JobExit SilentExit(const KubernetesJob& job, bool claimed) {
  const KubernetesPod* pod = job.PodAtFault();
  const v1::EndCause cause = CauseOf(job, pod, claimed);
  std::string reason = StrCat("Kubernetes Job ", job.name, job.is_complete ? " ended" : " failed");
  if (!job.reason.empty()) absl::StrAppend(&reason, ": ", job.reason);
  if (!job.message.empty()) absl::StrAppend(&reason, " (", job.message, ")");
  if (cause == v1::END_CAUSE_KILLED && pod->ended_by == "OOMKilled") {
    absl::StrAppend(&reason, "; its pod ran out of the memory that it had asked for");
  } else if (cause == v1::END_CAUSE_KILLED) {
    absl::StrAppend(&reason, "; a rank in its pod ", pod->name, " was killed by signal ",
                    pod->exit_status - 128);
  }
  if (cause == v1::END_CAUSE_NODE_FAILED)
    absl::StrAppend(&reason, "; its pod was lost: ", pod->disrupted_by);
  if (cause == v1::END_CAUSE_NOT_STARTED)
    absl::StrAppend(&reason, "; tunesmith-shim did not start",
                    pod == nullptr || pod->ended_message.empty() ? "" : ": " + pod->ended_message,
                    "; see kubectl logs job/", job.name);
  return ExitFor(cause, reason);
}

// There is no such Job any more: somebody has deleted it, and its pods before it.
v1::JobExit DeletedExit(const v1::Job& job, const std::string& name, const Sight& sight) {
  const std::string reason = StrCat("Kubernetes Job ", name, " was deleted");
  if (sight.exit && sight.exit->state() != v1::JOB_STATE_CANCELLED) return *sight.exit;
  if (!sight.exit && sight.claimed && !job.cancel_requested())
    return ExitFor(v1::END_CAUSE_LOST, StrCat("lost: ", reason, ", and it left no exit.json"));
  v1::JobExit exit = sight.exit.value_or(v1::JobExit());
  exit.set_state(v1::JOB_STATE_CANCELLED);
  exit.set_cause(v1::END_CAUSE_CANCELLED);
  exit.set_reason(reason);
  return exit;
}

AttemptView ViewOf(const KubernetesJob& job, const Sight& sight) {
  const bool has_ended = (job.is_complete || job.has_failed) && !job.HasLivingPods();
  // The first node's word on another one that was lost is not why the Job has failed.
  const bool tells = sight.exit && sight.exit->cause() != v1::END_CAUSE_NODE_FAILED;
  if (has_ended)
    return EndedView(tells ? SavedExit(job, *sight.exit) : SilentExit(job, sight.claimed));
  const KubernetesPod* pod = job.NewestPod();
  // What the shim of a Job that is being deleted has to say comes when it is gone.
  if (sight.has_handle && (job.is_being_deleted || (pod != nullptr && pod->phase == "Running")))
    return RunningView();
  return WaitingView(WaitReason(job));
}

}  // namespace

KubernetesLauncher::KubernetesLauncher(KubernetesLauncherOptions options)
    : options_(std::move(options)),
      kubectl_(options_.context, options_.command_timeout),
      jobs_(options_),
      news_(options_.poll_interval) {}

absl::StatusOr<v1::ResourceClaim> KubernetesLauncher::Check(const v1::Job& job) const {
  TUNESMITH_RETURN_IF_ERROR(CheckPaths(options_, job));
  return ClusterClaim("Kubernetes", job.plan(), job.spec());
}

absl::StatusOr<v1::RenderedSubmission> KubernetesLauncher::Render(const v1::Job& job) const {
  const KubernetesObject object = AttemptObject(options_, job);
  const std::optional<KubernetesObject> service = PodService(options_, job, "");
  v1::RenderedSubmission submission;
  submission.set_launcher(std::string(name()));
  const std::string file = convert::InDirectory(job.run_directory(), kManifestFile);
  for (const std::string& word :
       {std::string("kubectl"), std::string("create"), std::string("--raw"),
        StrCat(object.path, kStrict), std::string("-f"), file})
    submission.add_arguments(word);
  AddFile(file, object.manifest.dump(2) + "\n", submission);
  if (service)
    AddFile(convert::InDirectory(job.run_directory(), kServiceFile),
            service->manifest.dump(2) + "\n", submission);
  AddJobFiles(job, submission);
  absl::Status status = Submit(object, "&dryRun=All").status();
  if (status.ok() && service) status = Submit(*service, "&dryRun=All").status();
  if (absl::IsFailedPrecondition(status)) return WithReason(status, "CLUSTER_REFUSES");
  TUNESMITH_RETURN_IF_ERROR(status);
  submission.set_outlook(
      StrCat("Kubernetes would take it into the namespace ", options_.namespace_name));
  return submission;
}

v1::Cluster KubernetesLauncher::Describe(const std::vector<v1::Job>&) const {
  return ClusterOf(name(), StrCat("Kubernetes, by kubectl, in the namespace ",
                                  options_.namespace_name, "; what it has is not listed"));
}

std::vector<Admission> KubernetesLauncher::Admit(const std::vector<v1::Job>& queue,
                                                 const std::vector<v1::Job>&) {
  return AdmitAll(queue);
}

absl::StatusOr<std::string> KubernetesLauncher::Start(const v1::Job& job) {
  const std::string name = KubernetesJobName(job);
  TUNESMITH_RETURN_IF_ERROR(refused_.Check(name));
  const absl::Time begun = SteadyNow();
  const absl::Status made = Make(job);
  TUNESMITH_RETURN_IF_ERROR(refused_.Note(name, made, SteadyNow() - begun, options_.poll_interval));
  return StrCat(options_.namespace_name, "/", name);
}

absl::Status KubernetesLauncher::Make(const v1::Job& job) const {
  absl::StatusOr<nlohmann::json> made = Submit(AttemptObject(options_, job), "");
  // Of a server that was killed before it could note that it had submitted it, say.
  if (absl::IsAlreadyExists(made.status())) made = FindOwn(job);
  TUNESMITH_RETURN_IF_ERROR(made.status());
  const absl::Status served = MakeService(job, ReadJob(*made).uid);
  // Its pods would wait for each other in vain.
  if (absl::IsFailedPrecondition(served)) (void)Delete(KubernetesJobName(job));
  return served;
}

absl::Status KubernetesLauncher::MakeService(const v1::Job& job,
                                             const std::string& owner_uid) const {
  const std::optional<KubernetesObject> service = PodService(options_, job, owner_uid);
  if (!service) return absl::OkStatus();
  const absl::Status status = Submit(*service, "").status();
  return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
}

absl::StatusOr<nlohmann::json> KubernetesLauncher::Submit(const KubernetesObject& object,
                                                          std::string_view query) const {
  absl::StatusOr<nlohmann::json> made =
      kubectl_.Create(StrCat(object.path, kStrict, query), object.manifest);
  // A namespace that is not there, which may be made.
  if (absl::IsNotFound(made.status()))
    return absl::FailedPreconditionError(made.status().message());
  return made;
}

absl::StatusOr<nlohmann::json> KubernetesLauncher::FindOwn(const v1::Job& job) const {
  const std::string name = KubernetesJobName(job);
  TUNESMITH_ASSIGN_OR_RETURN(nlohmann::json found,
                             kubectl_.Get(StrCat(ObjectsPath(options_), "/", name)));
  if (ReadJob(found).job_uid == job.uid()) return found;
  return absl::FailedPreconditionError(
      StrCat("Kubernetes has a Job ", name, " that is not ours; delete or rename it"));
}

absl::StatusOr<std::string> KubernetesLauncher::Find(const v1::Job& job) {
  TUNESMITH_RETURN_IF_ERROR(refused_.Check(KubernetesJobName(job)));
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(job.run_directory(), job.attempt()));
  const std::string name = sight.has_claimer ? sight.shim.cluster_job() : KubernetesJobName(job);
  if (!sight.has_claimer) {
    TUNESMITH_ASSIGN_OR_RETURN(const auto found, jobs_.Find(name, absl::ZeroDuration()));
    if (!found || found->job_uid != job.uid()) return "";
    TUNESMITH_RETURN_IF_ERROR(MakeService(job, found->uid));
  }
  return StrCat(options_.namespace_name, "/", name);
}

// The name of a Job of this namespace. A server that looks into another one knows nothing of its Jobs, and silence is no end.
absl::StatusOr<std::string> KubernetesLauncher::NameIn(const std::string& handle) const {
  const size_t slash = handle.find('/');
  if (slash != std::string::npos && handle.substr(0, slash) == options_.namespace_name)
    return handle.substr(slash + 1);
  return absl::FailedPreconditionError(
      StrCat("the job was submitted as ", handle, ", and tunesmithd was started with ",
             "--kubernetes-namespace ", options_.namespace_name, "; start it with the former"));
}

absl::StatusOr<std::optional<KubernetesJob>> KubernetesLauncher::Ask(const std::string& name,
                                                                     const Sight& sight) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto job, jobs_.Find(name, options_.poll_interval));
  const KubernetesPod* pod = job ? job->NewestPod() : nullptr;
  const bool runs = pod != nullptr && pod->phase == "Running";
  if (job && !sight.exit && (!sight.claimed || runs)) return job;
  // A list that was read before the Job was made says nothing by not having it; one that has said its last word is about to end.
  const bool ends = sight.exit && (runs || sight.exit->state() != v1::JOB_STATE_CANCELLED);
  const absl::Duration age = !job   ? absl::ZeroDuration()
                             : ends ? news_.Soon()
                                    : news_.ListAge(name, sight);
  return jobs_.Find(name, age);
}

absl::StatusOr<AttemptView> KubernetesLauncher::Look(const v1::Job& job,
                                                     const std::string& handle) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string name, NameIn(handle));
  const std::string& directory = job.run_directory();
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t known, NewestAttemptOf(directory, job.attempt(), name));
  TUNESMITH_ASSIGN_OR_RETURN(const Sight before, SightOf(directory, known));
  TUNESMITH_ASSIGN_OR_RETURN(const auto found, Ask(name, before));
  // Read after Kubernetes was asked: a shim that is gone has written what it had to say.
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t attempt,
                             NewestAttemptOf(directory, job.attempt(), name));
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(directory, attempt));
  AttemptView view = found ? ViewOf(*found, sight) : EndedView(DeletedExit(job, name, sight));
  view.attempt = attempt;
  if (view.phase == AttemptView::Phase::kEnded) {
    deleted_.erase(name);
    news_.Forget(name);
  }
  return view;
}

// In the foreground: the Job is there until its pods are gone, which have the grace to save in.
absl::Status KubernetesLauncher::Cancel(const v1::Job&, const std::string& handle) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string name, NameIn(handle));
  absl::Time& last = deleted_.try_emplace(name, absl::InfinitePast()).first->second;
  if (SteadyNow() - last < kDeleteAgain) return absl::OkStatus();
  const absl::Status status = Delete(name);
  last = SteadyNow();
  return status;
}

absl::Status KubernetesLauncher::Delete(const std::string& name) const {
  const absl::Status status =
      kubectl_.Delete(StrCat(ObjectsPath(options_), "/", name, "?propagationPolicy=Foreground"));
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace tunesmith::server
