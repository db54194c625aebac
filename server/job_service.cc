#include "server/job_service.h"

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/job_requests.h"
#include "server/job_states.h"
#include "server/log_reactor.h"
#include "server/requests.h"
#include "server/unary.h"
#include "server/watch_reactor.h"

namespace tunesmith::server {
namespace {

// Of calls whose answer is a job.
template <typename Response>
grpc::ServerUnaryReactor* ReplyJob(grpc::CallbackServerContext* context,
                                   absl::StatusOr<v1::Job> job, Response* response) {
  absl::StatusOr<Response> result =
      job.status().ok() ? absl::StatusOr<Response>(Response()) : job.status();
  if (job.ok()) *result->mutable_job() = *std::move(job);
  return Reply(context, std::move(result), response);
}

absl::StatusOr<v1::CreateJobResponse> Validate(Store& store, CheckedJob checked,
                                               const std::string& jobs_directory) {
  checked.job.set_run_directory(convert::InDirectory(jobs_directory, "<job>"));
  checked.job.set_attempt(1);
  v1::CreateJobResponse response;
  TUNESMITH_ASSIGN_OR_RETURN(*response.mutable_submission(), checked.launcher->Render(checked.job));
  checked.job.clear_attempt();
  const std::string launcher(checked.launcher->name());
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t waiting,
                             store.CountInState(v1::JOB_STATE_QUEUED, launcher));
  if (response.submission().outlook().empty()) {
    response.mutable_submission()->set_outlook(
        waiting == 0 ? "no job waits before it" : StrCat(waiting, " jobs wait before it"));
  }
  *response.mutable_job() = std::move(checked.job);
  return response;
}

// A repeated request is answered before it is checked: files may have gone since.
absl::StatusOr<v1::CreateJobResponse> Create(Store& store, const std::vector<Launcher*>& launchers,
                                             const std::string& jobs_directory,
                                             const PathRoots& roots,
                                             const v1::CreateJobRequest& request) {
  v1::CreateJobResponse response;
  const RequestKey key =
      KeyOf("CreateJob", request.validate_only() ? "" : request.request_id(), request);
  TUNESMITH_ASSIGN_OR_RETURN(const auto before, AnswerBefore(store.pool(), key));
  if (before && response.ParseFromString(*before)) return response;
  TUNESMITH_ASSIGN_OR_RETURN(CheckedJob checked, CheckCreateJob(request, launchers, roots));
  if (request.validate_only()) return Validate(store, std::move(checked), jobs_directory);
  TUNESMITH_ASSIGN_OR_RETURN(*response.mutable_job(),
                             store.CreateJob(checked.job, jobs_directory, key));
  return response;
}

absl::StatusOr<v1::Job> Resume(Store& store, const v1::ResumeJobRequest& request) {
  convert::Violations violations;
  CheckRequestId("request_id", request.request_id(), violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  return Requeue(store, request.name(), KeyOf("ResumeJob", request.request_id(), request));
}

}  // namespace

grpc::ServerUnaryReactor* JobService::CreateJob(grpc::CallbackServerContext* context,
                                                const v1::CreateJobRequest* request,
                                                v1::CreateJobResponse* response) {
  const auto create = [this, request] {
    return Create(store_, launchers_, jobs_directory_, roots_, *request);
  };
  // A cluster is asked whether it would take the job.
  if (request->validate_only())
    return ReplyLater<v1::CreateJobResponse>(commands_, context, create, response);
  return Reply(context, create(), response);
}

grpc::ServerUnaryReactor* JobService::GetJob(grpc::CallbackServerContext* context,
                                             const v1::GetJobRequest* request,
                                             v1::GetJobResponse* response) {
  return ReplyJob(context, store_.GetJob(request->name()), response);
}

grpc::ServerUnaryReactor* JobService::ListJobs(grpc::CallbackServerContext* context,
                                               const v1::ListJobsRequest* request,
                                               v1::ListJobsResponse* response) {
  return Reply(context, ListJobsPage(store_, *request), response);
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* JobService::WatchJob(
    grpc::CallbackServerContext*, const v1::WatchJobRequest* request) {
  return new WatchReactor(store_, hub_, *request);
}

grpc::ServerWriteReactor<v1::StreamLogsResponse>* JobService::StreamLogs(
    grpc::CallbackServerContext*, const v1::StreamLogsRequest* request) {
  return new LogReactor(store_, hub_, *request);
}

grpc::ServerUnaryReactor* JobService::CancelJob(grpc::CallbackServerContext* context,
                                                const v1::CancelJobRequest* request,
                                                v1::CancelJobResponse* response) {
  return ReplyJob(context, RequestCancel(store_, request->name()), response);
}

grpc::ServerUnaryReactor* JobService::ResumeJob(grpc::CallbackServerContext* context,
                                                const v1::ResumeJobRequest* request,
                                                v1::ResumeJobResponse* response) {
  return ReplyJob(context, Resume(store_, *request), response);
}

}  // namespace tunesmith::server
