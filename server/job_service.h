#pragma once

#include <string>
#include <vector>

#include "server/event_hub.h"
#include "server/launch/launcher.h"
#include "server/search_pool.h"
#include "server/security/path_roots.h"
#include "server/store.h"
#include "tunesmith/v1/jobs.grpc.pb.h"

namespace tunesmith::server {

// tunesmith.v1.JobService over the store; the supervisor does the rest. Store, hub, launchers and the pool, on which clusters are asked,
// outlive the service.
class JobService final : public v1::JobService::CallbackService {
 public:
  JobService(Store& store, EventHub& hub, std::vector<Launcher*> launchers, SearchPool& commands,
             std::string jobs_directory, PathRoots roots)
      : store_(store),
        hub_(hub),
        launchers_(std::move(launchers)),
        commands_(commands),
        jobs_directory_(std::move(jobs_directory)),
        roots_(std::move(roots)) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::CreateJobResponse* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::GetJobResponse* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(
      grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamLogsResponse>* StreamLogs(
      grpc::CallbackServerContext* context, const v1::StreamLogsRequest* request) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override;
  grpc::ServerUnaryReactor* ResumeJob(grpc::CallbackServerContext* context,
                                      const v1::ResumeJobRequest* request,
                                      v1::ResumeJobResponse* response) override;

 private:
  Store& store_;
  EventHub& hub_;
  const std::vector<Launcher*> launchers_;
  SearchPool& commands_;
  const std::string jobs_directory_;
  const PathRoots roots_;
};

}  // namespace tunesmith::server
