#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tunesmith::server {

// What is known of a call when it has ended.
struct CallRecord {
  std::string method;  // "/tunesmith.v1.JobService/GetJob"
  std::string peer;    // empty where it was refused at the door
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string message;
  // None: it was refused at the door, before anything of it was read. The client's address is not known there.
  std::optional<absl::Duration> duration;
  std::string caller;      // empty: not known
  std::string known_by;    // as Caller::known_by
  std::string resource;    // what it was about, "jobs/job-7"; empty: nothing that has a name
  std::string request_id;  // of the request
  std::string
      trace_id;  // of the caller's traceparent; empty: none, or not one by W3C's Trace Context
};

using CallSink = std::function<void(const CallRecord&)>;

}  // namespace tunesmith::server
