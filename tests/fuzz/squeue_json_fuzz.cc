// Any text as what squeue, sacct or jobcomp/filetxt say: jobs with an id and a state, for which there is a phase, an exit and a reason.
#include <cstdint>
#include <string>

#include "server/launch/slurm/job_table.h"
#include "server/launch/slurm/slurm_states.h"
#include "tests/fuzz/require.h"

namespace tunesmith::server {
namespace {

void CheckJobs(const std::vector<SlurmJob>& jobs) {
  for (const SlurmJob& job : jobs) {
    Require(!job.states.empty());
    (void)PhaseOf(job);
    Require(!WaitReason(job).empty() && !ExitOf(job).reason().empty());
  }
}

void Check(const std::string& text) {
  if (const auto jobs = ParseSqueueJson(text); jobs.ok()) CheckJobs(*jobs);
  CheckJobs(ParseSacct(text));
  CheckJobs(ParseJobComp(text));
}

}  // namespace
}  // namespace tunesmith::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tunesmith::server::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
