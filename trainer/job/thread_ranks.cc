#include "trainer/job/thread_ranks.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace tunesmith::trainer {

absl::Status RunThreadRanks(absl::Span<const std::unique_ptr<Communicator>> communicators,
                            absl::FunctionRef<absl::Status(Communicator&)> run) {
  std::vector<absl::Status> results(communicators.size());
  const auto run_rank = [&](size_t rank) {
    results[rank] = run(*communicators[rank]);
    if (!results[rank].ok()) communicators[rank]->Abort(std::string(results[rank].message()));
  };
  std::vector<std::thread> threads;
  for (size_t rank = 1; rank < communicators.size(); ++rank) threads.emplace_back(run_rank, rank);
  run_rank(0);
  for (std::thread& thread : threads) thread.join();
  const auto failed = std::find_if(results.begin(), results.end(),
                                   [](const absl::Status& status) { return !status.ok(); });
  return failed == results.end() ? absl::OkStatus() : *failed;
}

int64_t ThreadsOfRank(int64_t thread_count, int64_t local_rank_count) {
  const int64_t online = std::max<int64_t>(1, sysconf(_SC_NPROCESSORS_ONLN));
  const int64_t bound_to = std::max<int64_t>(1, std::thread::hardware_concurrency());
  const int64_t share = (thread_count > 0 ? thread_count : online) / local_rank_count;
  // Who asks for threads by number gets them, bound or not.
  return std::max<int64_t>(1, thread_count > 0 ? share : std::min(share, bound_to));
}

}  // namespace tunesmith::trainer
