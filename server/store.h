#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/sqlite.h"
#include "tunesmith/v1/events.pb.h"
#include "tunesmith/v1/jobs.pb.h"

// Plans, jobs and events in SQLite. The only owner of the database file. Thread-safe.
namespace tunesmith::server {

// A job with what only the server needs of it. Jobs are given without their plan unless a function
// says otherwise.
struct JobRecord {
  v1::Job job;
  int64_t event_offset = 0;  // bytes of events.jsonl that are stored
};

class Store {
 public:
  // Opens or creates the database, and migrates it. Errors as Database and Migrate.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path);

  // Called after every change of a job, with its name, from the thread that made it and without a
  // lock held. Set before other threads start.
  void SetListener(std::function<void(const std::string& name)> listener) {
    listener_ = std::move(listener);
  }

  // Stores a QUEUED job with its first event; its run directory will be `jobs_directory`/<id>. A
  // request_id that is known gives the job that was made with it, or ALREADY_EXISTS when the
  // request differs. REQUIRES: the request is valid.
  absl::StatusOr<v1::Job> CreateJob(const v1::CreateJobRequest& request,
                                    const std::string& jobs_directory);

  // With its plan. NOT_FOUND names the job.
  absl::StatusOr<v1::Job> GetJob(const std::string& name);

  // Without its plan. NOT_FOUND names the job.
  absl::StatusOr<JobRecord> GetRecord(const std::string& name);

  // Newest first: at most `limit` jobs in `state` (unspecified: any) with an id below `before_id`
  // (0: any).
  absl::StatusOr<std::vector<v1::Job>> ListJobs(v1::JobState state, int64_t before_id,
                                                int64_t limit);

  // The jobs in a state, in the order of the queue.
  absl::StatusOr<std::vector<JobRecord>> JobsInState(v1::JobState state);

  // At most `limit` events with a sequence above `after_sequence`, in order.
  absl::StatusOr<std::vector<v1::Event>> EventsAfter(const std::string& name,
                                                     int64_t after_sequence, int64_t limit);

  // Reads a job, lets `change` alter it and add events, and stores both in one transaction. Events
  // get the job's next sequences, and the present time unless they have one. An error from `change`
  // leaves everything as it was. A job that `change` takes to QUEUED goes to the end of the queue.
  // Returns the job as stored.
  using Change = std::function<absl::Status(JobRecord& record, std::vector<v1::Event>& events)>;
  absl::StatusOr<v1::Job> Update(const std::string& name, const Change& change);

  // Brings the write-ahead log into the database file. For shutdown.
  void Checkpoint();

 private:
  explicit Store(Database database) : database_(std::move(database)) {}

  absl::StatusOr<v1::Job> CreateLocked(const v1::CreateJobRequest& request,
                                       const std::string& jobs_directory, bool* made);
  absl::StatusOr<JobRecord> ReadLocked(const std::string& name);
  absl::Status WriteLocked(JobRecord& record, std::vector<v1::Event>& events, bool to_queue_end);
  absl::StatusOr<int64_t> PlanIdLocked(const v1::Plan& plan);

  std::mutex mutex_;
  Database database_;
  std::function<void(const std::string& name)> listener_ = [](const std::string&) {};
};

// "jobs/job-7" <-> 7. INVALID_ARGUMENT for another form.
std::string JobName(int64_t id);
absl::StatusOr<int64_t> JobId(const std::string& name);

bool IsTerminal(v1::JobState state);

}  // namespace tunesmith::server
