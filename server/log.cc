#include "server/log.h"

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpc/support/log.h"
#include "nlohmann/json.hpp"
#include "server/sparing.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace tunesmith::server {
namespace {

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// The log that gRPC's words go to; it must outlive gRPC's threads.
std::shared_ptr<spdlog::logger>& GrpcLogger() {
  static auto& logger = *new std::shared_ptr<spdlog::logger>;
  return logger;
}

void LogGrpc(gpr_log_func_args* words) {
  static auto& sparing = *new Sparing;
  if (!sparing.Admit()) return;
  nlohmann::json line = {{"message", words->message}, {"source", "grpc"}};
  if (const int64_t count = sparing.TakeLeftOut(); count > 0) line["left_out_count"] = count;
  const auto level =
      words->severity == GPR_LOG_SEVERITY_ERROR ? spdlog::level::err : spdlog::level::info;
  GrpcLogger()->log(level, "{}", Dump(line));
}

}  // namespace

std::shared_ptr<spdlog::logger> MakeLogger() {
  auto logger = std::make_shared<spdlog::logger>("tunesmithd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","event":%v})",
                      spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

void LogLine(spdlog::logger& logger, spdlog::level::level_enum level, const std::string& text) {
  logger.log(level, "{}", Dump({{"message", text}}));
}

void LogCall(spdlog::logger& logger, const CallRecord& record) {
  static auto& of_nobody = *new Sparing;
  if (!logger.should_log(spdlog::level::info)) return;
  if (record.code == absl::StatusCode::kUnauthenticated && !of_nobody.Admit()) return;
  nlohmann::json line = {{"method", record.method},
                         {"peer", record.peer},
                         {"code", absl::StatusCodeToString(record.code)},
                         {"message", record.message}};
  if (record.duration) line["milliseconds"] = absl::ToDoubleMilliseconds(*record.duration);
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) line[key] = value;
  };
  add("caller", record.caller);
  add("request_id", record.request_id);
  add("trace_id", record.trace_id);
  if (const int64_t count = of_nobody.TakeLeftOut(); count > 0) line["left_out_count"] = count;
  logger.info("{}", Dump(line));
}

void TakeGrpcLog(const std::shared_ptr<spdlog::logger>& logger) {
  GrpcLogger() = logger;
  gpr_set_log_function(LogGrpc);
}

}  // namespace tunesmith::server
