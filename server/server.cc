#include "server/server.h"

#include <algorithm>
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
#include "server/data_lock.h"
#include "server/launch/kubernetes/kubernetes_launcher.h"
#include "server/launch/slurm/slurm_launcher.h"
#include "server/log.h"
#include "server/operations/call_metrics.h"
#include "server/operations/process_metrics.h"
#include "server/operations/server_metrics.h"
#include "server/service_names.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

std::function<void(const std::string&)> ErrorLog(std::shared_ptr<spdlog::logger> logger) {
  return [logger = std::move(logger)](const std::string& line) {
    LogLine(*logger, spdlog::level::err, line);
  };
}

std::vector<std::unique_ptr<Launcher>> MakeLaunchers(const ServerOptions& options) {
  std::vector<std::unique_ptr<Launcher>> launchers;
  for (const std::string& name : options.launchers) {
    if (name == "slurm") launchers.push_back(std::make_unique<SlurmLauncher>(options.slurm));
    if (name == "kubernetes")
      launchers.push_back(std::make_unique<KubernetesLauncher>(options.kubernetes));
    if (name == "host") launchers.push_back(std::make_unique<HostLauncher>(options.launcher));
  }
  return launchers;
}

std::vector<Launcher*> Pointers(const std::vector<std::unique_ptr<Launcher>>& launchers) {
  std::vector<Launcher*> pointers;
  for (const auto& launcher : launchers) pointers.push_back(launcher.get());
  return pointers;
}

absl::Status CheckLaunchers(const ServerOptions& options) {
  const absl::Status slurm = CheckSlurmOptions(options.slurm.defaults);
  if (!slurm.ok())
    return absl::InvalidArgumentError(StrCat("the options for Slurm: ", slurm.message()));
  const bool kubernetes = std::find(options.launchers.begin(), options.launchers.end(),
                                    "kubernetes") != options.launchers.end();
  return kubernetes ? CheckKubernetesOptions(options.kubernetes) : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Front>> OpenFront(const ServerOptions& options,
                                                 const std::shared_ptr<spdlog::logger>& logger) {
  const auto log_call = [logger, logs = options.logs_calls](const CallRecord& record) {
    if (logs) LogCall(*logger, record);
    CountCall(ProcessMetrics(), record);
  };
  return Front::Open(options.front, log_call, ErrorLog(logger));
}

// Whoever comes from elsewhere names files below roots, or none.
absl::StatusOr<PathRoots> RootsFor(const ServerOptions& options, const Front& front) {
  TUNESMITH_ASSIGN_OR_RETURN(PathRoots roots, ResolveRoots(options.roots));
  const bool any = !roots.models.empty() || !roots.data.empty() || !roots.outputs.empty();
  roots.confines = any || (front.is_reached_from_elsewhere() && !options.front.insecure);
  return roots;
}

}  // namespace

Server::Server(FileLock lock, std::unique_ptr<Store> store, std::unique_ptr<Front> front,
               const ServerOptions& options, std::optional<planner::Calibration> fixed,
               std::shared_ptr<spdlog::logger> logger)
    : lock_(std::move(lock)),
      store_(std::move(store)),
      front_(std::move(front)),
      logger_(std::move(logger)),
      catalog_(store_->pool()),
      calibration_history_(store_->pool()),
      calibration_runs_(store_->pool()),
      calibrations_(options.data_directory, std::move(fixed), calibration_history_,
                    ErrorLog(logger_)),
      launchers_(MakeLaunchers(options)),
      recommender_(catalog_, calibrations_, drift_, options.answer_cache_bytes),
      jobs_(*store_, hub_, Pointers(launchers_), commands_,
            InDirectory(options.data_directory, convert::kJobsDirectory), options.roots),
      clusters_(*store_, Pointers(launchers_), commands_, [this] { return check_.problem(); }),
      measurements_(*store_, drift_),
      calibration_service_(*store_, calibration_runs_, calibrations_, catalog_, options.roots),
      calibrator_(
          calibration_runs_, calibration_history_,
          {.profiler_path = options.profiler_path, .data_directory = options.data_directory}),
      supervisor_(*store_, Pointers(launchers_), calibrator_, drift_, options.retention,
                  options.roots, ErrorLog(logger_)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& asked,
                                                      std::shared_ptr<spdlog::logger> logger) {
  ServerOptions options = asked;
  TUNESMITH_RETURN_IF_ERROR(CheckLaunchers(options));
  TUNESMITH_ASSIGN_OR_RETURN(std::unique_ptr<Front> front, OpenFront(options, logger));
  TUNESMITH_ASSIGN_OR_RETURN(options.roots, RootsFor(options, *front));
  TUNESMITH_ASSIGN_OR_RETURN(FileLock lock, LockDataDirectory(options.data_directory));
  TUNESMITH_ASSIGN_OR_RETURN(
      std::unique_ptr<Store> store,
      Store::Open(InDirectory(options.data_directory, convert::kDatabaseFile),
                  InDirectory(options.data_directory, convert::kBackupsDirectory)));
  std::optional<planner::Calibration> fixed;
  if (!options.calibration_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(fixed, convert::ReadCalibrationFile(options.calibration_path));
  }
  std::unique_ptr<Server> server(new Server(std::move(lock), std::move(store), std::move(front),
                                            options, std::move(fixed), logger));
  TUNESMITH_RETURN_IF_ERROR(server->catalog_.Load());
  TUNESMITH_RETURN_IF_ERROR(server->drift_.Load(server->store_->pool()));
  server->store_->SetListener([raw = server.get()](const std::string& name) {
    raw->hub_.Notify(name);
    raw->supervisor_.Wake();
  });
  TUNESMITH_RETURN_IF_ERROR(server->Listen());
  TUNESMITH_RETURN_IF_ERROR(server->StartHttp(options));
  // After the ports, so that a server that cannot serve launches nothing.
  server->supervisor_.Start();
  server->SetHealth(true);
  if (!server->store_->pool().was_closed()) server->CheckDatabase();
  return server;
}

// Reading every page of a large database takes a while, and is needed only when the last server
// may have been cut off.
void Server::CheckDatabase() {
  check_.Start(store_->pool().path(), [this](const absl::Status& status) {
    if (absl::IsCancelled(status)) return;
    LogLine(*logger_, status.ok() ? spdlog::level::info : spdlog::level::err,
            StrCat("the last stop was not orderly; the database was checked: ",
                   status.ToString(absl::StatusToStringMode::kWithNoExtraData)));
  });
}

absl::Status Server::StartHttp(const ServerOptions& options) {
  TellBuild(ProcessMetrics());
  collection_ = ProcessMetrics().Collect([this] { CollectMetrics(); });
  if (options.http_listen.empty()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(
      http_,
      HttpEndpoints::Start(options.http_listen, {.metrics = [] { return ProcessMetrics().Text(); },
                                                 .ready = [this] { return CheckReady(); }}));
  LogLine(*logger_, spdlog::level::info,
          StrCat("metrics and health by HTTP on port ", http_->port()));
  return absl::OkStatus();
}

void Server::CollectMetrics() {
  Metrics& metrics = ProcessMetrics();
  CollectProcess(metrics);
  CollectJobs(metrics, *store_, Pointers(launchers_));
  CollectCertificate(metrics, front_->certificate_path());
  metrics.GaugeOf("tunesmith_searches_waiting", "Calls that wait for a thread to search.")
      .Set(static_cast<double>(recommender_.waiting_count()));
}

absl::Status Server::CheckReady() {
  if (!serves_)
    return absl::UnavailableError("the server does not serve: it starts, or it shuts down");
  return store_->pool().Read([](Database& database) {
    return database.QueryInteger("SELECT count(*) FROM server_state").status();
  });
}

void Server::SetHealth(bool serving) {
  serves_ = serving;
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  if (health == nullptr) return;
  for (const std::string& name : ServiceNames()) health->SetServingStatus(name, serving);
  health->SetServingStatus("", serving);
}

absl::Status Server::Listen() {
  // A descriptor that no code mentions is not linked, and reflection fails without the health
  // service's (grpc/grpc#36665).
  (void)grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.RegisterService(&recommender_);
  builder.RegisterService(&jobs_);
  builder.RegisterService(&clusters_);
  builder.RegisterService(&measurements_);
  builder.RegisterService(&calibration_service_);
  TUNESMITH_ASSIGN_OR_RETURN(server_, front_->Serve(builder));
  return absl::OkStatus();
}

void Server::Shutdown(absl::Duration patience) {
  if (server_ == nullptr) return;
  SetHealth(false);
  front_->Close();
  hub_.Close();
  server_->Shutdown(absl::ToChronoTime(absl::Now() + patience));
  // Calls that wait for a search, or a cluster, are answered by it, and end the server's wait.
  recommender_.Stop();
  commands_.Stop();
  server_->Wait();
  http_.reset();
  collection_.reset();
  server_.reset();
  supervisor_.Stop();
  check_.Stop();
  store_->pool().Close();
}

}  // namespace tunesmith::server
