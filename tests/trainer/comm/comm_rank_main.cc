// mpi_rank MODE [RANK]: one rank of a job that mpirun started, for communicator tests. Prints a line "rank R: ..." and exits with 0 when all went well.
//   exercise        Exercise, and its digest
//   fail RANK       that rank says Abort; the others wait in a sum
//   die RANK        that rank is killed; the others wait in a sum
//   orphan RANK     that rank kills mpirun and does not come
//   absent RANK     that rank never comes to the sum
//   late RANK       that rank never joins
//   differ RANK     that rank has another plan
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "common/str_cat.h"
#include "tests/trainer/comm/exercise.h"
#include "trainer/comm/mpi_communicator.h"
#include "trainer/comm/rank_agreement.h"

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
  } else if (mode == "orphan") {
    kill(getppid(), SIGKILL);
    std::this_thread::sleep_for(std::chrono::seconds(5));
  } else if (mode == "absent") {
    std::this_thread::sleep_for(std::chrono::seconds(5));
  }
  return Sum(communicator);
}

int Main(const std::string& mode, int64_t culprit) {
  std::signal(
      SIGTERM,
      SIG_IGN);  // mpirun's, to those whom a dead rank leaves; the trainer ignores it until its step is done
  const Environment environment = ProcessEnvironment();
  const auto place = FindRank(environment);
  if (!place.ok()) return Say(-1, std::string(place.status().message()));
  if (mode == "late" && place->rank == culprit)
    std::this_thread::sleep_for(std::chrono::seconds(60));
  const RankBoard board(mode == "late" ? std::getenv("RANK_BOARD") : "", environment, *place);
  const auto communicator = OpenMpiCommunicator(
      *place, {.start = std::chrono::seconds(2), .call = std::chrono::seconds(2)}, board);
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
