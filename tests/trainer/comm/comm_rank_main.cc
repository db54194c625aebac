// comm_rank MODE [RANK]: one rank of a job that a launcher started, for communicator tests. Prints a line "rank R: ..." and exits with 0 when all went well.
//   exercise        Exercise, and its digest
//   fail RANK       that rank says Abort; the others wait in a sum
//   die RANK        that rank is killed; the others wait in a sum
//   freeze RANK     that rank stops itself (SIGSTOP), and is killed when it is orphaned
//   orphan RANK     that rank kills the launcher and does not come
//   vanish RANK     that rank says that it is there, and does nothing for 15 seconds
//   absent RANK     that rank never comes to the sum
//   late RANK       that rank does not join, and ends when the others have given up
//   differ RANK     that rank has another plan
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "tests/trainer/comm/exercise.h"
#include "trainer/comm/mpi_communicator.h"
#include "trainer/comm/rank_agreement.h"
#include "trainer/comm/rank_meeting.h"
#include "trainer/comm/tcp_communicator.h"

namespace tunesmith::trainer {
namespace {

int Say(int64_t rank, const std::string& text) {
  // One write, so that the ranks' lines do not mix.
  const std::string line = StrCat("rank ", rank, ": ", text, "\n");
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
  return 1;
}

absl::Status Sum(Communicator& communicator) {
  float x = 1;
  return communicator.AllReduce(&x, 1, DType::kF32);
}

absl::Status Misbehave(Communicator& communicator, const std::string& mode) {
  if (mode == "fail") {
    communicator.Abort("step 3: the loss is nan");
  } else if (mode == "die") {
    (void)raise(SIGKILL);
  } else if (mode == "freeze") {
    (void)raise(SIGSTOP);
  } else if (mode == "orphan") {
    kill(getppid(), SIGKILL);
    std::this_thread::sleep_for(std::chrono::seconds(5));
  } else if (mode == "vanish") {
    Say(communicator.rank(), "is there");
    std::this_thread::sleep_for(std::chrono::seconds(15));
    return absl::OkStatus();
  } else if (mode == "absent") {
    std::this_thread::sleep_for(std::chrono::seconds(5));
  }
  return Sum(communicator);
}

// Short ones where a limit is to be met, unless the environment says otherwise.
absl::StatusOr<TimeLimits> LimitsOf(Environment environment, const std::string& mode) {
  if (mode == "late") environment.emplace("TUNESMITH_START_TIMEOUT_SECONDS", "4");
  if (mode == "absent" || mode == "freeze")
    environment.emplace("TUNESMITH_RANK_TIMEOUT_SECONDS", "2");
  return TimeLimitsOf(environment);
}

absl::StatusOr<std::unique_ptr<Communicator>> Join(const Environment& environment,
                                                   const RankPlace& place,
                                                   const std::string& mode) {
  TUNESMITH_ASSIGN_OR_RETURN(const TimeLimits limits, LimitsOf(environment, mode));
  TUNESMITH_ASSIGN_OR_RETURN(const RankTransport transport, TransportOf(environment, place));
  if (transport == RankTransport::kMpi) {
    const auto board = environment.find("RANK_BOARD");
    return OpenMpiCommunicator(
        place, limits,
        RankBoard(board == environment.end() ? "" : board->second, environment, place));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const HostPort master, FindMaster(environment));
  return OpenTcpCommunicator({.rank = place.rank,
                              .size = place.size,
                              .master = master,
                              .secret = "of this test",
                              .facts = "comm_rank"},
                             limits);
}

int Main(const std::string& mode, int64_t culprit) {
  std::signal(
      SIGTERM,
      SIG_IGN);  // mpirun's, to those whom a dead rank leaves; the trainer ignores it until its step is done
  const Environment environment = ProcessEnvironment();
  const auto place = FindRank(environment);
  if (!place.ok()) return Say(-1, std::string(place.status().message()));
  if (mode == "late" && place->rank == culprit) {
    std::this_thread::sleep_for(std::chrono::seconds(7));
    return Say(place->rank, "did not join");
  }
  const auto communicator = Join(environment, *place, mode);
  if (!communicator.ok()) {
    Say(place->rank, std::string(communicator.status().message()));
    std::_Exit(1);  // MPI's start may still run in a thread
  }
  if (mode == "exercise") {
    const std::string digest = Exercise(**communicator);
    Say(place->rank, digest);
    return digest.starts_with("wrong") ? 1 : 0;
  }
  const bool is_culprit = place->rank == culprit;
  absl::Status status = CheckRanksAgree(
      **communicator,
      {{"trainer version", "1"}, {"plan digest", mode == "differ" && is_culprit ? "b" : "a"}});
  if (status.ok()) status = Sum(**communicator);
  if (status.ok()) status = is_culprit ? Misbehave(**communicator, mode) : Sum(**communicator);
  return status.ok() ? 0 : Say(place->rank, std::string(status.message()));
}

}  // namespace
}  // namespace tunesmith::trainer

int main(int argc, char** argv) {
  return tunesmith::trainer::Main(argc > 1 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : -1);
}
