#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/file_lock.h"
#include "grpcpp/grpcpp.h"
#include "server/calibration_history.h"
#include "server/calibration_runs.h"
#include "server/calibration_service.h"
#include "server/calibrations.h"
#include "server/calibrator.h"
#include "server/catalog.h"
#include "server/cluster_service.h"
#include "server/database_check.h"
#include "server/drift.h"
#include "server/event_hub.h"
#include "server/front.h"
#include "server/job_service.h"
#include "server/launch/host_launcher.h"
#include "server/launch/kubernetes/manifest.h"
#include "server/launch/slurm/submission.h"
#include "server/measurement_service.h"
#include "server/operations/http_endpoints.h"
#include "server/operations/metrics.h"
#include "server/recommender_service.h"
#include "server/security/path_roots.h"
#include "server/store.h"
#include "server/supervisor.h"
#include "spdlog/logger.h"

// tunesmithd without its command line.
namespace tunesmith::server {

struct ServerOptions {
  FrontOptions front;
  PathRoots roots;  // of jobs' files; they confine where other hosts reach the server too
  std::string data_directory;
  // Where jobs run, of "host", "slurm" and "kubernetes"; the first is the default.
  std::vector<std::string> launchers = {"host"};
  HostLauncherOptions launcher;
  SlurmLauncherOptions slurm;
  KubernetesLauncherOptions kubernetes;
  std::string profiler_path;     // measures this host
  std::string calibration_path;  // used for its device instead of the newest in the data directory;
                                 // empty: none
  Retention retention;
  size_t answer_cache_bytes = size_t{64} << 20;  // of known answers
  std::string http_listen;                       // HOST:PORT of metrics and health; empty: none
  bool logs_calls = true;                        // one line per call
};

class Server {
 public:
  // Locks the data directory, opens the store, takes running jobs up again and answers RPCs. Errors
  // say what could not be had (the data directory, the port) and what to do.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       std::shared_ptr<spdlog::logger> logger);

  // Shuts down as Shutdown(0 s), unless that was done.
  ~Server();

  // The port that is listened on; 0 where there are only sockets.
  int port() const { return front_->port(); }

  // Where it listens, for people.
  std::string Where() const { return front_->Where(); }

  // Refuses new calls, ends WatchJob streams with UNAVAILABLE, and waits for calls in progress at
  // most this long. Jobs go on.
  void Shutdown(absl::Duration patience);

 private:
  Server(FileLock lock, std::unique_ptr<Store> store, std::unique_ptr<Front> front,
         const ServerOptions& options, std::optional<planner::Calibration> fixed,
         std::shared_ptr<spdlog::logger> logger);
  absl::Status Listen();
  void SetHealth(bool serving);
  void CheckDatabase();
  absl::Status StartHttp(const ServerOptions& options);
  void CollectMetrics();
  absl::Status CheckReady();

  // For calls that ask clusters, each of which may take a command's whole time.
  static constexpr int kCommandThreads = 4;
  static constexpr size_t kMostCommandsWaiting = 64;

  FileLock lock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Front> front_;
  std::shared_ptr<spdlog::logger> logger_;
  EventHub hub_;
  Catalog catalog_;
  CalibrationHistory calibration_history_;
  CalibrationRuns calibration_runs_;
  Calibrations calibrations_;
  Drift drift_;
  const std::vector<std::unique_ptr<Launcher>> launchers_;
  DatabaseCheck check_;
  SearchPool commands_{kCommandThreads, kMostCommandsWaiting};
  RecommenderService recommender_;
  JobService jobs_;
  ClusterService clusters_;
  MeasurementService measurements_;
  CalibrationService calibration_service_;
  Calibrator calibrator_;
  Supervisor supervisor_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> serves_{false};
  std::unique_ptr<Metrics::Collection> collection_;
  std::unique_ptr<HttpEndpoints> http_;
};

}  // namespace tunesmith::server
