#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>

#include "tests/benchmarks/soak/caller.h"

namespace tunesmith::server {

// The jobs that a soak has had accepted, and what it has done to them, so that it is known how each must end. Thread-safe; a caller and its generator are one
// thread's.
class JobBook {
 public:
  using Random = std::mt19937_64;

  // Jobs are like `request`, but for their steps.
  explicit JobBook(v1::CreateJobRequest request) : request_(std::move(request)) {}

  // Has one more job accepted: repeats the request until it is answered, and sometimes once more.
  void Submit(Caller& caller, Random& random);

  // Does one thing to a job that runs, or resumes one that has failed or was cancelled.
  void Disturb(Caller& caller, Random& random);

  // A job; none where there is none yet.
  std::optional<std::string> Any(Random& random) const;
  int64_t count() const;

  // When nobody submits or disturbs any more: resumes what failed until every job has ended as it must, at most for `patience`; the jobs that
  // were lost: that are not there, or have not ended, or not as they must.
  int64_t Settle(Caller& caller, absl::Duration patience);

  // Faults of what all jobs left: events lost or repeated, trainers that ran at once.
  struct Faults {
    int64_t event_count = 0;
    int64_t double_count = 0;
  };
  Faults Check(ServerProcess& server) const;

 private:
  struct Entry {
    int64_t step_count = 0;
    bool may_be_cancelled = false;
  };

  std::optional<v1::Job> Get(Caller& caller, const std::string& name);
  std::optional<v1::Job> AnyIn(Caller& caller, const std::string& filter, Random& random);
  void Cancel(Caller& caller, const v1::Job& job);
  void Resume(Caller& caller, const v1::Job& job);
  void KillProcessOf(Caller& caller, const v1::Job& job, bool shim);
  bool HasEndedWell(const v1::Job& job) const;
  std::map<std::string, Entry> Entries() const;

  const v1::CreateJobRequest request_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;  // by name
  int64_t next_ = 0;
};

}  // namespace tunesmith::server
