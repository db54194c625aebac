#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/call_record.h"

namespace tunesmith::server {

// Who did what: one JSON object a line for every call that changes something, and for every call that was refused. Of calls by nobody known,
// which anybody can send, at most ten a second are written, and how many were left out. Thread-safe.
class AuditLog {
 public:
  // `failed` is told when a line cannot be written. No file is kept open: one that was put away is begun anew.
  AuditLog(std::string path, std::function<void(const std::string& line)> failed)
      : path_(std::move(path)), failed_(std::move(failed)) {}

  // Begins the file, mode 0600. Errors as AppendLine.
  absl::Status Open();

  void Write(const CallRecord& record);

 private:
  bool IsTooMany(const CallRecord& record);

  const std::string path_;
  const std::function<void(const std::string& line)> failed_;
  std::mutex mutex_;
  absl::Time second_ = absl::InfinitePast();  // in which nobody_count_ calls by nobody were seen
  int64_t nobody_count_ = 0;
  int64_t left_out_count_ = 0;
};

}  // namespace tunesmith::server
