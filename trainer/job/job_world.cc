#include "trainer/job/job_world.h"

#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/numbers.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/version.h"
#include "proto/convert/run_directory.h"
#include "trainer/comm/mpi_communicator.h"
#include "trainer/comm/rank_agreement.h"
#include "trainer/comm/rank_meeting.h"
#include "trainer/comm/rank_secret.h"
#include "trainer/comm/tcp_communicator.h"
#include "trainer/comm/thread_communicator.h"
#include "trainer/comm/time_limits.h"
#include "trainer/job/thread_ranks.h"

namespace tunesmith::trainer {
namespace {

using RunFunction = absl::FunctionRef<absl::Status(const JobRank&)>;

int64_t RankCount(const JobDescription& job) { return planner::RankCount(job.plan.prediction.mix); }

bool RunsOnCpu(const JobDescription& job) {
  return job.spec.device().empty() || job.spec.device() == "cpu";
}

// Of a process that no launcher has started.
absl::Status CheckAlone(const JobDescription& job) {
  if (RunsOnCpu(job) || RankCount(job) == 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the plan is for ", RankCount(job), " ranks on ", job.spec.device(),
             ", and this process is alone: each rank is a process, as `mpirun -n ", RankCount(job),
             "` starts them"));
}

std::string DigestOf(const v1::JobSpec& spec) {
  return absl::StrFormat("%016x", RandomKey(0, spec.SerializeAsString()));
}

absl::Status CheckAgreement(Communicator& comm, const JobDescription& job) {
  return CheckRanksAgree(comm, {{"trainer version", Version()},
                                {"plan digest", job.plan.prediction.program_digest},
                                {"job digest", DigestOf(job.spec)}});
}

absl::StatusOr<std::unique_ptr<Communicator>> JoinByMpi(const Environment& environment,
                                                        const RankPlace& place,
                                                        const TimeLimits& limits,
                                                        const std::string& run_directory) {
  const RankBoard board(convert::InDirectory(run_directory, convert::kLogDirectory), environment,
                        place);
  auto communicator = OpenMpiCommunicator(place, limits, board);
  if (communicator.ok()) board.TakeDown();
  return communicator;
}

// Of files that ranks have from one run directory: a rank that sees others is not let in.
absl::StatusOr<std::string> FactsOf(const std::string& run_directory) {
  std::string facts = StrCat("trainer ", Version());
  for (const char* name : {convert::kPlanFile, convert::kJobSpecFile}) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::string text,
                               ReadFile(convert::InDirectory(run_directory, name)));
    absl::StrAppendFormat(&facts, ", %s %016x", name, RandomKey(0, text));
  }
  return facts;
}

absl::StatusOr<int64_t> AttemptOf(const Environment& environment) {
  constexpr char kAttempt[] = "TUNESMITH_ATTEMPT";
  const auto found = environment.find(kAttempt);
  int64_t attempt = 0;
  if (found == environment.end() || ParseInt64(found->second, &attempt)) return attempt;
  return absl::InvalidArgumentError(
      StrCat("the environment has ", kAttempt, "=", found->second, ", which is no number"));
}

absl::StatusOr<std::unique_ptr<Communicator>> JoinByTcp(const Environment& environment,
                                                        const RankPlace& place,
                                                        const TimeLimits& limits,
                                                        const std::string& run_directory) {
  TcpRank self{.rank = place.rank, .size = place.size};
  TUNESMITH_ASSIGN_OR_RETURN(self.master, FindMaster(environment));
  TUNESMITH_ASSIGN_OR_RETURN(self.attempt, AttemptOf(environment));
  TUNESMITH_ASSIGN_OR_RETURN(self.facts, FactsOf(run_directory));
  const std::string secret = convert::InDirectory(run_directory, convert::kRankSecretFile);
  TUNESMITH_ASSIGN_OR_RETURN(self.secret, ShareRankSecret(secret, place.rank, limits.start));
  return OpenTcpCommunicator(self, limits);
}

absl::StatusOr<std::unique_ptr<Communicator>> Join(const Environment& environment,
                                                   const RankPlace& place, const TimeLimits& limits,
                                                   const std::string& run_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(const RankTransport transport, TransportOf(environment, place));
  return transport == RankTransport::kMpi ? JoinByMpi(environment, place, limits, run_directory)
                                          : JoinByTcp(environment, place, limits, run_directory);
}

absl::Status RunProcess(const RankPlace& place, Communicator& comm,
                        const std::string& run_directory, RunFunction run) {
  TUNESMITH_ASSIGN_OR_RETURN(JobDescription job, ReadJobFiles(run_directory));
  TUNESMITH_RETURN_IF_ERROR(CheckAgreement(comm, job));
  TUNESMITH_RETURN_IF_ERROR(CheckRankCount(place, job.plan.prediction.mix));
  TUNESMITH_ASSIGN_OR_RETURN(const JobInputs inputs, OpenJobInputs(std::move(job)));
  const int64_t threads = ThreadsOfRank(inputs.description.spec.thread_count(), place.local_size);
  return run({inputs, &comm, threads, place.local_rank});
}

absl::Status RunThreads(const JobInputs& inputs, const TimeLimits& limits, RunFunction run) {
  const int64_t rank_count = RankCount(inputs.description);
  const int64_t threads = ThreadsOfRank(inputs.description.spec.thread_count(), rank_count);
  const auto communicators = MakeThreadCommunicators(rank_count, limits.call);
  return RunThreadRanks(communicators, [&](Communicator& comm) {
    return run({inputs, &comm, threads});
  });
}

}  // namespace

absl::Status RunRanks(const Environment& environment, const RankPlace& place,
                      const std::string& run_directory, RunFunction run) {
  TUNESMITH_ASSIGN_OR_RETURN(const TimeLimits limits, TimeLimitsOf(environment));
  if (place.size > 1) {
    TUNESMITH_ASSIGN_OR_RETURN(const auto comm, Join(environment, place, limits, run_directory));
    absl::Status status = RunProcess(place, *comm, run_directory, run);
    if (!status.ok()) comm->Abort(std::string(status.message()));
    return status;
  }
  TUNESMITH_ASSIGN_OR_RETURN(JobDescription job, ReadJobFiles(run_directory));
  TUNESMITH_RETURN_IF_ERROR(CheckAlone(job));
  TUNESMITH_ASSIGN_OR_RETURN(const JobInputs inputs, OpenJobInputs(std::move(job)));
  if (RankCount(inputs.description) > 1) return RunThreads(inputs, limits, run);
  return run({inputs, nullptr, inputs.description.spec.thread_count()});
}

}  // namespace tunesmith::trainer
