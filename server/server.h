#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "server/calibration_history.h"
#include "server/calibration_runs.h"
#include "server/calibration_service.h"
#include "server/calibrations.h"
#include "server/calibrator.h"
#include "server/catalog.h"
#include "server/cluster_service.h"
#include "server/data_lock.h"
#include "server/database_check.h"
#include "server/drift.h"
#include "server/event_hub.h"
#include "server/job_service.h"
#include "server/launch/host_launcher.h"
#include "server/launch/slurm/submission.h"
#include "server/measurement_service.h"
#include "server/recommender_service.h"
#include "server/store.h"
#include "server/supervisor.h"
#include "spdlog/logger.h"

// tunesmithd without its command line.
namespace tunesmith::server {

struct ServerOptions {
  std::string listen = "127.0.0.1:7433";  // port 0: a free one
  std::string data_directory;
  // Where jobs run, "host" and "slurm"; the first is the default.
  std::vector<std::string> launchers = {"host"};
  HostLauncherOptions launcher;
  SlurmLauncherOptions slurm;
  std::string profiler_path;     // measures this host
  std::string calibration_path;  // used for its device instead of the newest in the data directory;
                                 // empty: none
  Retention retention;
  bool logs_calls = true;  // one line per call
};

class Server {
 public:
  // Locks the data directory, opens the store, takes running jobs up again and answers RPCs. Errors
  // say what could not be had (the data directory, the port) and what to do.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       std::shared_ptr<spdlog::logger> logger);

  // Shuts down as Shutdown(0 s), unless that was done.
  ~Server();

  // The port that is listened on.
  int port() const { return port_; }

  // Refuses new calls, ends WatchJob streams with UNAVAILABLE, and waits for calls in progress at
  // most this long. Jobs go on.
  void Shutdown(absl::Duration patience);

 private:
  Server(DataLock lock, std::unique_ptr<Store> store, const ServerOptions& options,
         std::optional<planner::Calibration> fixed, std::shared_ptr<spdlog::logger> logger);
  absl::Status Listen(const ServerOptions& options);
  void SetHealth(bool serving);
  void CheckDatabase();

  DataLock lock_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<spdlog::logger> logger_;
  EventHub hub_;
  Catalog catalog_;
  CalibrationHistory calibration_history_;
  CalibrationRuns calibration_runs_;
  Calibrations calibrations_;
  Drift drift_;
  const std::vector<std::unique_ptr<Launcher>> launchers_;
  DatabaseCheck check_;
  RecommenderService recommender_;
  JobService jobs_;
  ClusterService clusters_;
  MeasurementService measurements_;
  CalibrationService calibration_service_;
  Calibrator calibrator_;
  Supervisor supervisor_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace tunesmith::server
