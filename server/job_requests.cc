#include "server/job_requests.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/model/family.h"
#include "proto/convert/job_spec.h"
#include "proto/convert/plan.h"
#include "server/error_info.h"
#include "server/launch/slurm/submission.h"

namespace tunesmith::server {
namespace {

using convert::Violations;

constexpr size_t kMaxRequestIdBytes = 36;
constexpr int64_t kDefaultPageSize = 50;

// Whether a path may be missing was checked before.
void CheckAbsolute(std::string_view field, const std::string& path, Violations& violations) {
  if (path.empty() || path.starts_with('/')) return;
  violations.Add(field, StrCat("is the relative path \"", path,
                               "\"; give the absolute path on the server's host"));
}

void CheckExists(std::string_view field, const std::string& path, Violations& violations) {
  std::error_code error;
  if (!path.starts_with('/') || std::filesystem::exists(path, error)) return;
  violations.Add(field, StrCat("is \"", path, "\", which does not exist on the server's host"));
}

void CheckApart(const v1::JobSpec& spec, Violations& violations) {
  std::error_code error;
  if (std::filesystem::equivalent(spec.output_dir(), spec.model_path(), error))
    violations.Add("spec.output_dir", StrCat("is \"", spec.output_dir(),
                                             "\", the model itself, which the result would "
                                             "overwrite; name another directory"));
}

absl::Status RefusedBecause(const std::string& reason, const std::string& message) {
  return WithReason(absl::FailedPreconditionError(message), reason);
}

absl::Status CheckDevices(const planner::DeviceGroup& devices, const v1::JobSpec& spec) {
  if (!devices.hardware.trainer_runs) {
    return RefusedBecause("DEVICE_NOT_TRAINED",
                          StrCat("the bundled trainer does not run on ", devices.hardware.name));
  }
  const bool plan_is_for_cpu = devices.hardware.compute_capability == 0;
  if (plan_is_for_cpu != (spec.device() == "cpu")) {
    return RefusedBecause("DEVICES_CONTRADICT",
                          StrCat("the plan is for ", devices.hardware.name,
                                 " but spec.device is \"", spec.device(), "\""));
  }
  return absl::OkStatus();
}

absl::Status CheckFamily(const planner::ModelSpec& model) {
  const planner::Family* family = planner::FindFamily(model.family);
  if (family == nullptr || family->not_trained_because.empty()) return absl::OkStatus();
  return RefusedBecause(
      "FAMILY_NOT_TRAINED",
      StrCat("the plan's model is of the family ", model.family, ", and ",
             family->not_trained_because, "; recommend --runtime plans for stacks that run it"));
}

Launcher* FindLauncher(const std::vector<Launcher*>& launchers, const std::string& cluster) {
  if (cluster.empty()) return launchers.front();
  for (Launcher* launcher : launchers) {
    if (StrCat("clusters/", launcher->name()) == cluster) return launcher;
  }
  return nullptr;
}

void CheckCluster(const std::vector<Launcher*>& launchers, const std::string& cluster,
                  Violations& violations) {
  if (FindLauncher(launchers, cluster) != nullptr) return;
  std::vector<std::string> names;
  for (const Launcher* launcher : launchers) names.push_back(StrCat("clusters/", launcher->name()));
  violations.Add("cluster",
                 StrCat("is \"", cluster, "\", which is none of ", absl::StrJoin(names, ", ")));
}

void CheckSlurm(const Launcher* launcher, const v1::SlurmOptions& options, Violations& violations) {
  if (launcher != nullptr && launcher->name() != "slurm")
    violations.Add("slurm", StrCat("is set, and the job is for ", launcher->name(),
                                   "; set cluster to \"clusters/slurm\""));
  violations.AddStatus("slurm", CheckSlurmOptions(options));
}

void CheckPaths(const PathRoots& roots, v1::JobSpec& spec, Violations& violations) {
  CheckAbsolute("spec.model_path", spec.model_path(), violations);
  CheckAbsolute("spec.dataset_path", spec.dataset_path(), violations);
  CheckAbsolute("spec.evaluation_path", spec.evaluation_path(), violations);
  CheckAbsolute("spec.chat_template_path", spec.chat_template_path(), violations);
  CheckAbsolute("spec.output_dir", spec.output_dir(), violations);
  Violations outside;
  ConfinePaths(roots, spec, outside);
  violations.AddStatus("", outside.ToStatus());
  if (!outside.empty()) return;  // what exists outside of the roots is nobody's to learn
  CheckExists("spec.model_path", spec.model_path(), violations);
  CheckExists("spec.dataset_path", spec.dataset_path(), violations);
  CheckExists("spec.evaluation_path", spec.evaluation_path(), violations);
  CheckExists("spec.chat_template_path", spec.chat_template_path(), violations);
  CheckApart(spec, violations);
}

// FNV-1a: page tokens guard against mistakes, not against attacks.
std::string Fingerprint(const std::string& text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return StrCat(absl::Hex(hash, absl::kZeroPad16));
}

}  // namespace

void CheckRequestId(std::string_view field, const std::string& id, Violations& violations) {
  if (id.size() > kMaxRequestIdBytes || !std::all_of(id.begin(), id.end(), absl::ascii_isgraph)) {
    violations.Add(field,
                   StrCat("must be at most ", kMaxRequestIdBytes, " printable ASCII characters"));
  }
}

absl::StatusOr<CheckedJob> CheckCreateJob(const v1::CreateJobRequest& request,
                                          const std::vector<Launcher*>& launchers,
                                          const PathRoots& roots) {
  Violations violations;
  v1::JobSpec spec = request.spec();
  convert::ValidateJobSpec(spec, "spec", violations);
  CheckPaths(roots, spec, violations);
  CheckRequestId("request_id", request.request_id(), violations);
  CheckCluster(launchers, request.cluster(), violations);
  if (request.has_slurm())
    CheckSlurm(FindLauncher(launchers, request.cluster()), request.slurm(), violations);
  const absl::StatusOr<convert::Plan> plan = convert::PlanFromProto(request.plan(), "plan");
  if (absl::IsInvalidArgument(plan.status())) violations.AddStatus("", plan.status());
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_RETURN_IF_ERROR(plan.status());
  CheckedJob checked{.job = {}, .launcher = FindLauncher(launchers, request.cluster())};
  const planner::DeviceGroup& devices = plan->question.devices;
  if (spec.device().empty())
    spec.set_device(devices.hardware.compute_capability == 0 ? "cpu" : "cuda:0");
  TUNESMITH_RETURN_IF_ERROR(CheckDevices(devices, spec));
  TUNESMITH_RETURN_IF_ERROR(CheckFamily(plan->question.model));
  *checked.job.mutable_plan() = request.plan();
  *checked.job.mutable_spec() =
      convert::WithDefaults(spec, plan->prediction.mix.method != planner::Method::kFull);
  if (request.has_slurm()) *checked.job.mutable_slurm() = request.slurm();
  TUNESMITH_ASSIGN_OR_RETURN(*checked.job.mutable_claim(), checked.launcher->Check(checked.job));
  checked.job.set_launcher(std::string(checked.launcher->name()));
  return checked;
}

int64_t PageSize(int64_t asked, Violations& violations) {
  violations.AtLeast("page_size", asked, 0);
  return asked == 0 ? kDefaultPageSize : std::min(asked, kMaxPageSize);
}

std::string PageToken(const std::string& query, int64_t id) {
  return StrCat(Fingerprint(query), ".", id);
}

int64_t BeforeId(const std::string& query, const std::string& token, Violations& violations) {
  if (token.empty()) return 0;
  int64_t id = 0;
  const std::string_view text = std::string_view(token).substr(std::min<size_t>(17, token.size()));
  if (absl::SimpleAtoi(ToAbsl(text), &id) && id > 0 && PageToken(query, id) == token) return id;
  violations.Add("page_token", "is not one that this method returned for the same query");
  return 0;
}

absl::StatusOr<v1::ListJobsResponse> ListJobsPage(Store& store,
                                                  const v1::ListJobsRequest& request) {
  Violations violations;
  const int64_t size = PageSize(request.page_size(), violations);
  absl::StatusOr<std::vector<JobCondition>> conditions = ParseJobFilter(request.filter());
  violations.AddStatus("filter", conditions.status());
  if (!v1::JobState_IsValid(request.state())) violations.Add("state", "is not a known state");
  const std::string query = StrCat(static_cast<int>(request.state()), " ", request.filter());
  const int64_t before_id = BeforeId(query, request.page_token(), violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  if (request.state() != v1::JOB_STATE_UNSPECIFIED) {
    conditions->push_back(
        {.column = "state", .operator_text = "=", .text = {}, .integer = request.state()});
  }
  // One more than the page tells whether there is another.
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<v1::Job> jobs,
                             store.ListJobs(*conditions, before_id, size + 1));
  v1::ListJobsResponse response;
  if (static_cast<int64_t>(jobs.size()) > size) {
    jobs.pop_back();
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t last_id, JobId(jobs.back().name()));
    response.set_next_page_token(PageToken(query, last_id));
  }
  for (v1::Job& job : jobs) *response.add_jobs() = std::move(job);
  return response;
}

}  // namespace tunesmith::server
