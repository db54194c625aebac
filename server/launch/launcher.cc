#include "server/launch/launcher.h"

#include "common/file.h"
#include "common/status_macros.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::server {

using convert::InDirectory;

v1::JobExit ExitFor(v1::EndCause cause, const std::string& reason) {
  v1::JobExit exit;
  exit.set_state(cause == v1::END_CAUSE_CANCELLED || cause == v1::END_CAUSE_PREEMPTED
                     ? v1::JOB_STATE_CANCELLED
                     : v1::JOB_STATE_FAILED);
  exit.set_cause(cause);
  exit.set_reason(reason);
  return exit;
}

absl::Status PrepareRunDirectory(const v1::Job& job) {
  const std::string& directory = job.run_directory();
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(InDirectory(directory, convert::kLogDirectory)));
  TUNESMITH_RETURN_IF_ERROR(
      convert::WriteJsonFile(InDirectory(directory, convert::kPlanFile), job.plan()));
  return convert::WriteJsonFile(InDirectory(directory, convert::kJobSpecFile), job.spec());
}

}  // namespace tunesmith::server
