#pragma once

#include <functional>
#include <string>
#include <vector>

#include "server/launch/launcher.h"
#include "server/search_pool.h"
#include "server/store.h"
#include "tunesmith/v1/clusters.grpc.pb.h"

namespace tunesmith::server {

inline constexpr int kMaxRequestBytes = 4 << 20;  // a plan is a few KiB, a calibration some hundred

// tunesmith.v1.ClusterService. Store, launchers and the pool, on which launchers are asked, outlive the service.
class ClusterService final : public v1::ClusterService::CallbackService {
 public:
  // `database_problem` tells what a check of the database found; empty: nothing.
  ClusterService(Store& store, std::vector<Launcher*> launchers, SearchPool& commands,
                 std::function<std::string()> database_problem)
      : store_(store),
        launchers_(std::move(launchers)),
        commands_(commands),
        database_problem_(std::move(database_problem)) {}

  grpc::ServerUnaryReactor* ListClusters(grpc::CallbackServerContext* context,
                                         const v1::ListClustersRequest* request,
                                         v1::ListClustersResponse* response) override;
  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context,
                                       const v1::GetClusterRequest* request,
                                       v1::GetClusterResponse* response) override;
  grpc::ServerUnaryReactor* GetCapabilities(grpc::CallbackServerContext* context,
                                            const v1::GetCapabilitiesRequest* request,
                                            v1::GetCapabilitiesResponse* response) override;

 private:
  absl::StatusOr<v1::Cluster> Describe(const Launcher& launcher);
  absl::StatusOr<v1::ListClustersResponse> List();
  absl::StatusOr<v1::GetClusterResponse> Get(const std::string& name);

  Store& store_;
  const std::vector<Launcher*> launchers_;
  SearchPool& commands_;
  const std::function<std::string()> database_problem_;
};

}  // namespace tunesmith::server
