#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "server/call_record.h"
#include "server/sparing.h"

namespace tunesmith::server {

// Who did what: one JSON object a line for every call that changes something, and for every call that was refused at the door. Of calls by nobody known,
// which anybody can send, at most ten a second are written, of calls beyond their caller's limits ten others, and how many were left out. Thread-safe.
class AuditLog {
 public:
  // `failed` is told when a line cannot be written. No file is kept open: one that was put away is begun anew.
  AuditLog(std::string path, std::function<void(const std::string& line)> failed)
      : path_(std::move(path)), failed_(std::move(failed)) {}

  // Begins the file, mode 0600. Errors as AppendLine.
  absl::Status Open();

  void Write(const CallRecord& record);

 private:
  bool Admit(const CallRecord& record);

  const std::string path_;
  const std::function<void(const std::string& line)> failed_;
  std::mutex mutex_;
  Sparing of_nobody_;  // calls by nobody known
  Sparing too_many_;   // calls beyond their caller's limits
};

}  // namespace tunesmith::server
