#include "server/job_service.h"

#include <utility>

#include "common/status_macros.h"
#include "server/job_requests.h"
#include "server/job_states.h"
#include "server/unary.h"
#include "server/watch_reactor.h"

namespace tunesmith::server {
namespace {

// Every response but ListJobs' is a job.
template <typename Response>
grpc::ServerUnaryReactor* ReplyJob(grpc::CallbackServerContext* context,
                                   absl::StatusOr<v1::Job> job, Response* response) {
  absl::StatusOr<Response> result =
      job.status().ok() ? absl::StatusOr<Response>(Response()) : job.status();
  if (job.ok()) *result->mutable_job() = *std::move(job);
  return Reply(context, std::move(result), response);
}

absl::StatusOr<v1::Job> Create(Store& store, const std::string& jobs_directory,
                               const v1::CreateJobRequest& request) {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::CreateJobRequest checked, CheckCreateJob(request));
  return store.CreateJob(checked, jobs_directory);
}

}  // namespace

grpc::ServerUnaryReactor* JobService::CreateJob(grpc::CallbackServerContext* context,
                                                const v1::CreateJobRequest* request,
                                                v1::CreateJobResponse* response) {
  return ReplyJob(context, Create(store_, jobs_directory_, *request), response);
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

grpc::ServerUnaryReactor* JobService::CancelJob(grpc::CallbackServerContext* context,
                                                const v1::CancelJobRequest* request,
                                                v1::CancelJobResponse* response) {
  return ReplyJob(context, RequestCancel(store_, request->name()), response);
}

grpc::ServerUnaryReactor* JobService::ResumeJob(grpc::CallbackServerContext* context,
                                                const v1::ResumeJobRequest* request,
                                                v1::ResumeJobResponse* response) {
  return ReplyJob(context, Requeue(store_, request->name()), response);
}

}  // namespace tunesmith::server
