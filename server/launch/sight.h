#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::server {

// What a run directory says of one of its attempts.
struct Sight {
  bool claimed = false;      // attempt-N exists
  bool has_claimer = false;  // and tells who claimed it
  bool has_handle = false;   // shim.json is of this attempt
  v1::ShimHandle shim;       // the newest that is known
  // How it ended. An exit.json counts only beside a shim.json of this attempt: before that is written,
  // the exit.json of the attempt before may still lie there.
  std::optional<v1::JobExit> exit;
  std::string exit_problem;  // an exit.json that cannot be read, or is not there
};

// UNAVAILABLE: it cannot be told now. A file that cannot be read is not one that is not there.
absl::StatusOr<Sight> SightOf(const std::string& run_directory, int64_t attempt);

// The newest attempt where a job of a cluster has claimed it, which may have gone on by itself; else `attempt`.
// UNAVAILABLE as of SightOf.
absl::StatusOr<int64_t> NewestAttemptOf(const std::string& run_directory, int64_t attempt,
                                        const std::string& cluster_job);

}  // namespace tunesmith::server
