#include "server/job_exit.h"

namespace tunesmith::server {

v1::JobExit ExitFor(v1::EndCause cause, const std::string& reason) {
  v1::JobExit exit;
  exit.set_state(cause == v1::END_CAUSE_CANCELLED || cause == v1::END_CAUSE_PREEMPTED
                     ? v1::JOB_STATE_CANCELLED
                     : v1::JOB_STATE_FAILED);
  exit.set_cause(cause);
  exit.set_reason(reason);
  return exit;
}

}  // namespace tunesmith::server
