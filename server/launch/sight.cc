#include "server/launch/sight.h"

#include <unistd.h>

#include <cerrno>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

absl::Status NotTold(const absl::Status& status) {
  return absl::UnavailableError(StrCat("the run directory cannot be read: ", status.message()));
}

// What is not there, or is no such message (a claim of an earlier version is an empty file), stays so.
bool MayPass(const absl::Status& status) {
  return !status.ok() && !absl::IsNotFound(status) && !absl::IsInvalidArgument(status);
}

absl::StatusOr<bool> IsThere(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) return true;
  if (errno == ENOENT) return false;
  return NotTold(absl::ErrnoToStatus(errno, StrCat("cannot find ", path)));
}

template <typename Message>
absl::Status Read(const std::string& path, Message& message) {
  return convert::ReadJsonFile(path, &message, convert::UnknownFields::kIgnore);
}

absl::StatusOr<bool> ReadHandle(const std::string& run_directory, int64_t attempt,
                                const std::string& name, v1::ShimHandle& handle) {
  const absl::Status read = Read(InDirectory(run_directory, name), handle);
  if (MayPass(read)) return NotTold(read);
  return read.ok() && handle.attempt() == attempt;
}

}  // namespace

absl::StatusOr<Sight> SightOf(const std::string& run_directory, int64_t attempt) {
  Sight sight;
  const std::string claim = convert::AttemptFile(attempt);
  TUNESMITH_ASSIGN_OR_RETURN(sight.claimed, IsThere(InDirectory(run_directory, claim)));
  if (!sight.claimed) return sight;
  TUNESMITH_ASSIGN_OR_RETURN(sight.has_claimer,
                             ReadHandle(run_directory, attempt, claim, sight.shim));
  v1::ShimHandle newest;
  TUNESMITH_ASSIGN_OR_RETURN(sight.has_handle,
                             ReadHandle(run_directory, attempt, convert::kShimFile, newest));
  if (!sight.has_handle) return sight;
  sight.shim = newest;
  v1::JobExit exit;
  const absl::Status read = Read(InDirectory(run_directory, convert::kExitFile), exit);
  if (MayPass(read)) return NotTold(read);
  if (read.ok()) sight.exit = exit;
  if (!read.ok()) sight.exit_problem = std::string(read.message());
  return sight;
}

absl::StatusOr<int64_t> NewestAttemptOf(const std::string& run_directory, int64_t attempt,
                                        const std::string& cluster_job) {
  const absl::StatusOr<int64_t> newest = convert::NewestAttempt(run_directory);
  if (absl::IsNotFound(newest.status())) return attempt;
  if (!newest.ok()) return NotTold(newest.status());
  if (*newest <= attempt) return attempt;
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(run_directory, *newest));
  return sight.has_claimer && sight.shim.cluster_job() == cluster_job ? *newest : attempt;
}

}  // namespace tunesmith::server
