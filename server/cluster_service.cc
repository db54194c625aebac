#include "server/cluster_service.h"

#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/suggest.h"
#include "common/version.h"
#include "planner/model/family.h"
#include "server/error_info.h"
#include "server/job_requests.h"
#include "server/migrations.h"
#include "server/recommender_service.h"
#include "server/requests.h"
#include "server/service_names.h"
#include "server/unary.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/measurements.pb.h"

namespace tunesmith::server {
namespace {

std::string ClusterName(const Launcher& launcher) { return StrCat("clusters/", launcher.name()); }

}  // namespace

absl::StatusOr<v1::Cluster> ClusterService::Describe(const Launcher& launcher) {
  const std::string name(launcher.name());
  std::vector<v1::Job> active;
  for (const v1::JobState state : {v1::JOB_STATE_LAUNCHING, v1::JOB_STATE_RUNNING}) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<JobRecord> records,
                               store_.JobsInState(state, name));
    for (const JobRecord& record : records) active.push_back(record.job);
  }
  v1::Cluster cluster = launcher.Describe(active);
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t queued, store_.CountInState(v1::JOB_STATE_QUEUED, name));
  cluster.set_queued_job_count(queued);
  cluster.set_active_job_count(static_cast<int64_t>(active.size()));
  return cluster;
}

absl::StatusOr<v1::ListClustersResponse> ClusterService::List() {
  v1::ListClustersResponse response;
  for (const Launcher* launcher : launchers_) {
    TUNESMITH_ASSIGN_OR_RETURN(*response.add_clusters(), Describe(*launcher));
  }
  return response;
}

absl::StatusOr<v1::GetClusterResponse> ClusterService::Get(const std::string& name) {
  v1::GetClusterResponse response;
  std::vector<std::string> names;
  for (const Launcher* launcher : launchers_) {
    names.push_back(ClusterName(*launcher));
    if (names.back() != name) continue;
    TUNESMITH_ASSIGN_OR_RETURN(*response.mutable_cluster(), Describe(*launcher));
    return response;
  }
  return WithReason(
      absl::NotFoundError(StrCat("there is no cluster \"", name, "\"; ", DidYouMean(name, names))),
      "CLUSTER_NOT_FOUND", {{"cluster", name}});
}

grpc::ServerUnaryReactor* ClusterService::ListClusters(grpc::CallbackServerContext* context,
                                                       const v1::ListClustersRequest*,
                                                       v1::ListClustersResponse* response) {
  return ReplyLater<v1::ListClustersResponse>(
      commands_, context, [this] { return List(); }, response);
}

grpc::ServerUnaryReactor* ClusterService::GetCluster(grpc::CallbackServerContext* context,
                                                     const v1::GetClusterRequest* request,
                                                     v1::GetClusterResponse* response) {
  return ReplyLater<v1::GetClusterResponse>(
      commands_, context, [this, request] { return Get(request->name()); }, response);
}

grpc::ServerUnaryReactor* ClusterService::GetCapabilities(grpc::CallbackServerContext* context,
                                                          const v1::GetCapabilitiesRequest*,
                                                          v1::GetCapabilitiesResponse* response) {
  v1::GetCapabilitiesResponse answer;
  answer.set_version(Version());
  answer.set_schema_version(SchemaVersion());
  for (const std::string& service : ServiceNames()) answer.add_services(service);
  for (const Launcher* launcher : launchers_) answer.add_clusters(ClusterName(*launcher));
  for (const absl::string_view name : absl::StrSplit(ToAbsl(planner::KnownFamilies()), ", ")) {
    const planner::Family* family = planner::FindFamily(ToStd(name));
    if (family == nullptr) continue;
    family->not_trained_because.empty() ? answer.add_trained_families(std::string(name))
                                        : answer.add_planned_families(std::string(name));
  }
  answer.set_max_request_bytes(kMaxRequestBytes);
  answer.set_max_batch_count(kMaxBatchCount);
  answer.set_max_page_size(kMaxPageSize);
  answer.set_request_id_days(kRequestIdDays);
  answer.set_database_problem(database_problem_());
  return Reply<v1::GetCapabilitiesResponse>(context, std::move(answer), response);
}

}  // namespace tunesmith::server
