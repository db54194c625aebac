#include "server/job_requests.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/job_spec.h"
#include "proto/convert/plan.h"
#include "proto/convert/violations.h"

namespace tunesmith::server {
namespace {

using convert::Violations;

constexpr size_t kMaxRequestIdBytes = 36;
constexpr int64_t kDefaultPageSize = 50;
constexpr int64_t kMaxPageSize = 1000;

void CheckPath(std::string_view field, const std::string& path, bool must_exist,
               Violations& violations) {
  if (path.empty()) return;  // whether it may be missing was checked before
  std::error_code error;
  if (!path.starts_with('/')) {
    violations.Add(field, StrCat("is the relative path \"", path,
                                 "\"; give the absolute path on the server's host"));
  } else if (must_exist && !std::filesystem::exists(path, error)) {
    violations.Add(field, StrCat("is \"", path, "\", which does not exist on the server's host"));
  }
}

void CheckRequestId(const std::string& id, Violations& violations) {
  if (id.size() > kMaxRequestIdBytes || !std::all_of(id.begin(), id.end(), absl::ascii_isgraph)) {
    violations.Add("request_id",
                   StrCat("must be at most ", kMaxRequestIdBytes, " printable ASCII characters"));
  }
}

absl::Status CheckDevices(const planner::DeviceGroup& devices, const v1::JobSpec& spec) {
  if (!devices.hardware.trainer_runs) {
    return absl::FailedPreconditionError(
        StrCat("the bundled trainer does not run on ", devices.hardware.name));
  }
  const bool plan_is_for_cpu = devices.hardware.compute_capability == 0;
  if (devices.device_count != 1 && !plan_is_for_cpu) {
    return absl::FailedPreconditionError(
        StrCat("the plan is for ", devices.device_count,
               " GPUs; the trainer connects ranks on CPUs so far: make a plan for one"));
  }
  if (plan_is_for_cpu != (spec.device() == "cpu")) {
    return absl::FailedPreconditionError(StrCat("the plan is for ", devices.hardware.name,
                                                " but spec.device is \"", spec.device(), "\""));
  }
  return absl::OkStatus();
}

// A token is "<state>.<id>": it goes on below that id, for the same filter.
std::string PageToken(v1::JobState state, int64_t id) {
  return StrCat(static_cast<int>(state), ".", id);
}

absl::StatusOr<int64_t> BeforeId(const v1::ListJobsRequest& request) {
  if (request.page_token().empty()) return 0;
  const std::vector<std::string> parts = absl::StrSplit(request.page_token(), '.');
  int64_t id = 0;
  if (parts.size() == 2 && absl::SimpleAtoi(parts[1], &id) && id > 0 &&
      PageToken(request.state(), id) == request.page_token()) {
    return id;
  }
  Violations violations;
  violations.Add("page_token", "is not one that ListJobs returned for this state");
  return violations.ToStatus();
}

}  // namespace

absl::StatusOr<v1::CreateJobRequest> CheckCreateJob(v1::CreateJobRequest request) {
  Violations violations;
  const v1::JobSpec& spec = request.spec();
  convert::ValidateJobSpec(spec, "spec", violations);
  CheckPath("spec.model_path", spec.model_path(), true, violations);
  CheckPath("spec.dataset_path", spec.dataset_path(), true, violations);
  CheckPath("spec.evaluation_path", spec.evaluation_path(), true, violations);
  CheckPath("spec.chat_template_path", spec.chat_template_path(), true, violations);
  CheckPath("spec.output_dir", spec.output_dir(), false, violations);
  CheckRequestId(request.request_id(), violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_ASSIGN_OR_RETURN(const convert::Plan plan,
                             convert::PlanFromProto(request.plan(), "plan"));
  if (spec.device().empty())
    request.mutable_spec()->set_device(
        plan.question.devices.hardware.compute_capability == 0 ? "cpu" : "cuda:0");
  TUNESMITH_RETURN_IF_ERROR(CheckDevices(plan.question.devices, request.spec()));
  *request.mutable_spec() =
      convert::WithDefaults(request.spec(), plan.prediction.mix.method != planner::Method::kFull);
  return request;
}

absl::StatusOr<v1::ListJobsResponse> ListJobsPage(Store& store,
                                                  const v1::ListJobsRequest& request) {
  Violations violations;
  violations.AtLeast("page_size", request.page_size(), 0);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t before_id, BeforeId(request));
  const int64_t size =
      request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  // One more than the page tells whether there is another.
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<v1::Job> jobs,
                             store.ListJobs(request.state(), before_id, size + 1));
  v1::ListJobsResponse response;
  if (static_cast<int64_t>(jobs.size()) > size) {
    jobs.pop_back();
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t last_id, JobId(jobs.back().name()));
    response.set_next_page_token(PageToken(request.state(), last_id));
  }
  for (v1::Job& job : jobs) *response.add_jobs() = std::move(job);
  return response;
}

}  // namespace tunesmith::server
