#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "proto/convert/answer.h"
#include "server/data_lock.h"
#include "server/event_hub.h"
#include "server/job_service.h"
#include "server/launch/host_launcher.h"
#include "server/recommender_service.h"
#include "server/store.h"
#include "server/supervisor.h"
#include "spdlog/logger.h"

// tunesmithd without its command line.
namespace tunesmith::server {

struct ServerOptions {
  std::string listen = "127.0.0.1:7433";  // port 0: a free one
  std::string data_directory;
  HostLauncherOptions launcher;
  std::string calibration_path;  // used for its device instead of the newest in the data directory;
                                 // empty: none
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
  Server(DataLock lock, std::unique_ptr<Store> store, convert::CalibrationSource calibrations,
         std::string jobs_directory, std::shared_ptr<spdlog::logger> logger);
  absl::Status Listen(const std::string& address);

  DataLock lock_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<spdlog::logger> logger_;
  EventHub hub_;
  RecommenderService recommender_;
  JobService jobs_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace tunesmith::server
