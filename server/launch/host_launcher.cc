#include "server/launch/host_launcher.h"

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"

namespace tunesmith::server {

using convert::InDirectory;

absl::Status PrepareRunDirectory(const v1::Job& job) {
  const std::string& directory = job.run_directory();
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(InDirectory(directory, convert::kLogDirectory)));
  TUNESMITH_RETURN_IF_ERROR(
      convert::WriteJsonFile(InDirectory(directory, convert::kPlanFile), job.plan()));
  return convert::WriteJsonFile(InDirectory(directory, convert::kJobSpecFile), job.spec());
}

absl::StatusOr<pid_t> StartShim(const HostLauncherOptions& options, const v1::Job& job) {
  return Spawn({.arguments = {options.shim_path, "--run-dir", job.run_directory(), "--attempt",
                              StrCat(job.attempt()), "--trainer", options.trainer_path,
                              "--grace-seconds", StrCat(absl::ToDoubleSeconds(options.grace))},
                .environment = {},
                .output_path = InDirectory(job.run_directory(), convert::kShimLogFile),
                .new_session = true});
}

}  // namespace tunesmith::server
