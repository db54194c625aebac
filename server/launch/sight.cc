#include "server/launch/sight.h"

#include <unistd.h>

#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

bool ReadHandle(const std::string& run_directory, int64_t attempt, const std::string& name,
                v1::ShimHandle& handle) {
  const std::string path = InDirectory(run_directory, name);
  return convert::ReadJsonFile(path, &handle, convert::UnknownFields::kIgnore).ok() &&
         handle.attempt() == attempt;
}

}  // namespace

Sight SightOf(const std::string& run_directory, int64_t attempt) {
  Sight sight;
  const std::string claim = convert::AttemptFile(attempt);
  sight.claimed = access(InDirectory(run_directory, claim).c_str(), F_OK) == 0;
  if (!sight.claimed) return sight;
  sight.has_claimer = ReadHandle(run_directory, attempt, claim, sight.shim);
  v1::ShimHandle newest;
  sight.has_handle = ReadHandle(run_directory, attempt, convert::kShimFile, newest);
  if (!sight.has_handle) return sight;
  sight.shim = newest;
  v1::JobExit exit;
  const absl::Status read = convert::ReadJsonFile(InDirectory(run_directory, convert::kExitFile),
                                                  &exit, convert::UnknownFields::kIgnore);
  if (read.ok()) sight.exit = exit;
  if (!read.ok()) sight.exit_problem = std::string(read.message());
  return sight;
}

int64_t NewestAttemptOf(const std::string& run_directory, int64_t attempt,
                        const std::string& cluster_job) {
  const int64_t newest = convert::NewestAttempt(run_directory).value_or(0);
  if (newest <= attempt) return attempt;
  const Sight sight = SightOf(run_directory, newest);
  return sight.has_claimer && sight.shim.cluster_job() == cluster_job ? newest : attempt;
}

}  // namespace tunesmith::server
