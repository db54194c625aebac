#include "server/access_log.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "nlohmann/json.hpp"
#include "spdlog/sinks/stdout_sinks.h"

namespace tunesmith::server {
namespace {

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class AccessLog final : public grpc::experimental::Interceptor {
 public:
  AccessLog(grpc::experimental::ServerRpcInfo* info, std::shared_ptr<spdlog::logger> logger)
      : info_(info), logger_(std::move(logger)), start_(absl::Now()) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      Write(methods->GetSendStatus());
    }
    methods->Proceed();
  }

 private:
  void Write(const grpc::Status& status) {
    const nlohmann::json line = {
        {"method", info_->method()},
        {"peer", info_->server_context()->peer()},
        {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()))},
        {"milliseconds", absl::ToDoubleMilliseconds(absl::Now() - start_)},
        {"message", status.error_message()}};
    logger_->info("{}", Dump(line));
  }

  grpc::experimental::ServerRpcInfo* info_;
  std::shared_ptr<spdlog::logger> logger_;
  absl::Time start_;
};

}  // namespace

std::shared_ptr<spdlog::logger> MakeLogger() {
  auto logger = std::make_shared<spdlog::logger>("tunesmithd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","event":%v})",
                      spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::info);
  return logger;
}

void LogLine(spdlog::logger& logger, spdlog::level::level_enum level, const std::string& text) {
  logger.log(level, "{}", Dump({{"message", text}}));
}

grpc::experimental::Interceptor* AccessLogFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return new AccessLog(info, logger_);  // gRPC deletes it
}

}  // namespace tunesmith::server
