#include "server/server.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/run_directory.h"
#include "server/access_log.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

constexpr int kMaxMessageBytes = 4 << 20;  // a plan is a few KiB, a calibration some hundred
constexpr char kCpu[] = "cpu";

// Rates were measured on this host, so they price its own processor; other devices are priced from
// datasheets.
convert::CalibrationSource SourceFor(const std::string& data_directory,
                                     std::optional<planner::Calibration> fixed) {
  return [=](std::string_view device_name) -> std::optional<planner::Calibration> {
    if (fixed && fixed->device_name == device_name) return fixed;
    if (device_name != kCpu) return std::nullopt;
    return convert::NewestCalibration(data_directory, device_name);
  };
}

void SetHealth(grpc::Server& server, bool serving) {
  grpc::HealthCheckServiceInterface* health = server.GetHealthCheckService();
  if (health == nullptr) return;
  for (const std::string name :
       {v1::RecommenderService::service_full_name(), v1::JobService::service_full_name()}) {
    health->SetServingStatus(name, serving);
  }
  health->SetServingStatus("", serving);
}

}  // namespace

Server::Server(DataLock lock, std::unique_ptr<Store> store, convert::CalibrationSource calibrations,
               std::string jobs_directory, std::shared_ptr<spdlog::logger> logger)
    : lock_(std::move(lock)),
      store_(std::move(store)),
      logger_(std::move(logger)),
      recommender_(std::move(calibrations)),
      jobs_(*store_, hub_, std::move(jobs_directory)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      std::shared_ptr<spdlog::logger> logger) {
  TUNESMITH_ASSIGN_OR_RETURN(DataLock lock, DataLock::Acquire(options.data_directory));
  TUNESMITH_ASSIGN_OR_RETURN(
      std::unique_ptr<Store> store,
      Store::Open(InDirectory(options.data_directory, convert::kDatabaseFile)));
  std::optional<planner::Calibration> fixed;
  if (!options.calibration_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(fixed, convert::ReadCalibrationFile(options.calibration_path));
  }
  std::unique_ptr<Server> server(new Server(
      std::move(lock), std::move(store), SourceFor(options.data_directory, std::move(fixed)),
      InDirectory(options.data_directory, convert::kJobsDirectory), logger));
  server->supervisor_ = std::make_unique<Supervisor>(
      *server->store_, options.launcher,
      [logger](const std::string& line) { LogLine(*logger, spdlog::level::err, line); });
  server->store_->SetListener([raw = server.get()](const std::string& name) {
    raw->hub_.Notify(name);
    raw->supervisor_->Wake();
  });
  TUNESMITH_RETURN_IF_ERROR(server->Listen(options.listen));
  // After the port, so that a server that cannot serve launches nothing.
  server->supervisor_->Start();
  SetHealth(*server->server_, true);
  return server;
}

absl::Status Server::Listen(const std::string& address) {
  // A descriptor that no code mentions is not linked, and reflection fails without the health
  // service's (grpc/grpc#36665).
  (void)grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT,
                             0);  // else a second server would share the port in silence
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.RegisterService(&recommender_);
  builder.RegisterService(&jobs_);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<AccessLogFactory>(logger_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  server_ = builder.BuildAndStart();
  if (server_ != nullptr && port_ > 0) return absl::OkStatus();
  return absl::UnavailableError(StrCat("cannot listen on ", address,
                                       "; another process may have the port, or the address is not "
                                       "this host's: choose another --listen"));
}

void Server::Shutdown(absl::Duration patience) {
  if (server_ == nullptr) return;
  SetHealth(*server_, false);
  hub_.Close();
  server_->Shutdown(absl::ToChronoTime(absl::Now() + patience));
  server_->Wait();
  server_.reset();
  supervisor_->Stop();
  store_->Checkpoint();
}

}  // namespace tunesmith::server
