#pragma once

#include <memory>
#include <string>

#include "server/call_record.h"
#include "spdlog/logger.h"

// The server's log: one JSON object per line on stderr.
namespace tunesmith::server {

// Lines {"time", "level", "event"}; the event is JSON text, so that any text is escaped. Log through LogLine and LogCall only.
std::shared_ptr<spdlog::logger> MakeLogger();

// {"time": ..., "level": ..., "event": {"message": text}}
void LogLine(spdlog::logger& logger, spdlog::level::level_enum level, const std::string& text);

// One line per call, at info: method, peer, code, milliseconds, message, and what else is known of it. Of calls by nobody known, which anybody
// can make, and of what gRPC says, at most ten a second.
void LogCall(spdlog::logger& logger, const CallRecord& record);

// gRPC's own words, as of handshakes that fail, go to this log from now on instead of raw to stderr.
void TakeGrpcLog(const std::shared_ptr<spdlog::logger>& logger);

}  // namespace tunesmith::server
