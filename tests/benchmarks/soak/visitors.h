#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "tests/benchmarks/soak/job_book.h"

// Who comes to a server during a soak, each a thread with a connection and a generator of its own, until all are sent away.
namespace tunesmith::server {

class Visitors {
 public:
  // `jobs_per_second` is how many are submitted. All outlive the visitors.
  Visitors(SoakServer& server, JobBook& book, SoakCounts& counts, uint64_t seed,
           double jobs_per_second);
  ~Visitors() { SendAway(); }

  // All have come to the end of what they were doing when this returns.
  void SendAway();

 private:
  using Visit = std::function<void(Caller&, JobBook::Random&)>;
  // Does it again and again, with a pause of this length on average.
  void Invite(absl::Duration pause, Visit visit);

  SoakServer& server_;
  SoakCounts& counts_;
  uint64_t next_seed_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace tunesmith::server
