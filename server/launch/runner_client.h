#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "tunesmith/v1/runner.pb.h"

namespace tunesmith::server {

// Has the runner that listens at the Unix socket `path` run an attempt; the reply has its shim. Waits for ten seconds at most. UNAVAILABLE, with the cure: nobody listens, or nobody
// answers, as where systemd starts no more runners; else: the runner refuses, and why.
absl::StatusOr<v1::RunAttemptReply> AskRunner(const std::string& path,
                                              const v1::RunAttemptRequest& request);

}  // namespace tunesmith::server
