#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database_pool.h"
#include "server/job_filter.h"
#include "server/requests.h"
#include "tunesmith/v1/events.pb.h"
#include "tunesmith/v1/jobs.pb.h"

// Plans, jobs and events in SQLite. Thread-safe.
namespace tunesmith::server {

// A job with what only the server needs of it. Jobs are given without their plan unless a function
// says otherwise.
struct JobRecord {
  v1::Job job;
  int64_t event_offset = 0;   // bytes of events.jsonl that are stored
  std::string handle;         // what the launcher called the present attempt; empty: not stored
  bool to_queue_end = false;  // set by a change: the job goes behind those that wait
};

class Store {
 public:
  // Opens or creates the database, and migrates it. Errors as DatabasePool::Open.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path,
                                                     const std::string& backups = "");

  // Called after every change of a job, with its name, from the thread that made it and without a
  // lock held. Set before other threads start.
  void SetListener(std::function<void(const std::string& name)> listener) {
    listener_ = std::move(listener);
  }

  // Stores `job`, which needs spec, launcher, claim and plan, as QUEUED with its first event; its
  // run directory will be `jobs_directory`/<id>. A key that is known gives the stored answer, or
  // ALREADY_EXISTS as StoredAnswer.
  absl::StatusOr<v1::Job> CreateJob(const v1::Job& job, const std::string& jobs_directory,
                                    const RequestKey& key);

  // With its plan. NOT_FOUND names the job.
  absl::StatusOr<v1::Job> GetJob(const std::string& name);

  // Without its plan. NOT_FOUND names the job.
  absl::StatusOr<JobRecord> GetRecord(const std::string& name);

  // Newest first: at most `limit` jobs for which all conditions hold, with an id below `before_id`
  // (0: any).
  absl::StatusOr<std::vector<v1::Job>> ListJobs(const std::vector<JobCondition>& conditions,
                                                int64_t before_id, int64_t limit);

  // At most `limit` jobs in a state, in the order of the queue; those of one launcher where it is
  // given. A row that does not parse is left out, so that it does not keep the others from being looked at; `problems`
  // gets its error, by the job's name.
  using Problems = std::map<std::string, absl::Status>;
  absl::StatusOr<std::vector<JobRecord>> JobsInState(v1::JobState state,
                                                     const std::string& launcher = "",
                                                     int64_t limit = -1,
                                                     Problems* problems = nullptr);

  absl::StatusOr<int64_t> CountInState(v1::JobState state, const std::string& launcher);

  // At most `limit` events with a sequence above `after_sequence`, in order.
  absl::StatusOr<std::vector<v1::Event>> EventsAfter(const std::string& name,
                                                     int64_t after_sequence, int64_t limit);

  // Reads a job, lets `change` alter it and add events, and stores both in one transaction. Events
  // get the job's next sequences, and the present time unless they have one. An error from `change`
  // leaves everything as it was. Returns the job as stored. A key that is known gives the stored
  // job instead, and `change` is not called.
  using Change = std::function<absl::Status(JobRecord& record, std::vector<v1::Event>& events)>;
  absl::StatusOr<v1::Job> Update(const std::string& name, const Change& change,
                                 const RequestKey& key = {});

  // Deletes up to `limit` terminal jobs that ended before `end`, with their events and the plans
  // that no job has any more. Run directories stay. How many were deleted.
  absl::StatusOr<int64_t> DeleteEnded(absl::Time end, int64_t limit);

  // Deletes request ids from before `time`.
  absl::Status DeleteRequests(absl::Time time);

  DatabasePool& pool() { return *pool_; }

 private:
  explicit Store(std::unique_ptr<DatabasePool> pool) : pool_(std::move(pool)) {}

  std::unique_ptr<DatabasePool> pool_;
  std::function<void(const std::string& name)> listener_ = [](const std::string&) {};
};

// "jobs/job-7" <-> 7. INVALID_ARGUMENT for another form.
std::string JobName(int64_t id);
absl::StatusOr<int64_t> JobId(const std::string& name);

bool IsTerminal(v1::JobState state);

}  // namespace tunesmith::server
