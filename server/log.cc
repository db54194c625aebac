#include "server/log.h"

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "spdlog/sinks/stdout_sinks.h"

namespace tunesmith::server {
namespace {

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
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
  if (!logger.should_log(spdlog::level::info)) return;
  nlohmann::json line = {{"method", record.method},
                         {"peer", record.peer},
                         {"code", absl::StatusCodeToString(record.code)},
                         {"milliseconds", absl::ToDoubleMilliseconds(record.duration)},
                         {"message", record.message}};
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) line[key] = value;
  };
  add("caller", record.caller);
  add("request_id", record.request_id);
  add("trace_id", record.trace_id);
  logger.info("{}", Dump(line));
}

}  // namespace tunesmith::server
