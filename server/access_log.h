#pragma once

#include <memory>

#include "grpcpp/support/server_interceptor.h"
#include "spdlog/logger.h"

// The server's log: one JSON object per line on stderr.
namespace tunesmith::server {

// Lines {"time", "level", "message"}; the message is JSON text, so that any text is escaped. Log
// through LogLine and LogCall only.
std::shared_ptr<spdlog::logger> MakeLogger();

// {"time": ..., "level": ..., "event": {"message": text}}
void LogLine(spdlog::logger& logger, spdlog::level::level_enum level, const std::string& text);

// Writes one line per RPC when its status is sent: method, peer, code, milliseconds.
class AccessLogFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit AccessLogFactory(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace tunesmith::server
