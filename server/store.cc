#include "server/store.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/run_directory.h"
#include "server/migrations.h"

namespace tunesmith::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kNamePrefix = "jobs/job-";

template <typename Message>
absl::Status ParseInto(const std::string& bytes, Message& message) {
  if (message.ParseFromString(bytes)) return absl::OkStatus();
  return absl::DataLossError(StrCat("a stored ", Message::descriptor()->name(),
                                    " does not parse; restore a backup of the database"));
}

// The columns job, event_offset of the row that `statement` is at.
absl::StatusOr<JobRecord> RecordOf(const Statement& statement) {
  JobRecord record;
  TUNESMITH_RETURN_IF_ERROR(ParseInto(statement.Bytes(0), record.job));
  record.event_offset = statement.Integer(1);
  return record;
}

absl::Status NoSuchJob(const std::string& name) {
  return absl::NotFoundError(
      StrCat("there is no job \"", name, "\"; `tunesmith jobs list` shows those there are"));
}

v1::Job NewJob(int64_t id, const v1::JobSpec& spec, const std::string& jobs_directory) {
  v1::Job job;
  job.set_name(JobName(id));
  job.set_state(v1::JOB_STATE_QUEUED);
  *job.mutable_spec() = spec;
  job.set_run_directory(convert::InDirectory(jobs_directory, StrCat("job-", id)));
  *job.mutable_create_time() = TimeUtil::GetCurrentTime();
  return job;
}

constexpr char kNextPosition[] = "(SELECT coalesce(max(queue_position), 0) + 1 FROM jobs)";

}  // namespace

std::string JobName(int64_t id) { return StrCat(kNamePrefix, id); }

absl::StatusOr<int64_t> JobId(const std::string& name) {
  int64_t id = 0;
  if (name.starts_with(kNamePrefix) && absl::SimpleAtoi(name.substr(kNamePrefix.size()), &id) &&
      JobName(id) == name) {
    return id;
  }
  return absl::InvalidArgumentError(
      StrCat("\"", name, "\" is not the name of a job, such as \"jobs/job-7\""));
}

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(Database database, Database::Open(path));
  TUNESMITH_RETURN_IF_ERROR(Migrate(database, path));
  return std::unique_ptr<Store>(new Store(std::move(database)));
}

absl::StatusOr<v1::Job> Store::CreateJob(const v1::CreateJobRequest& request,
                                         const std::string& jobs_directory) {
  absl::StatusOr<v1::Job> job;
  bool made = false;
  {
    std::lock_guard lock(mutex_);
    job = CreateLocked(request, jobs_directory, &made);
  }
  if (made && job.ok()) listener_(job->name());
  return job;
}

absl::StatusOr<v1::Job> Store::CreateLocked(const v1::CreateJobRequest& request,
                                            const std::string& jobs_directory, bool* made) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_));
  const std::string request_bytes = request.SerializeAsString();
  if (!request.request_id().empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement known, database_.Prepare("SELECT job, request FROM jobs WHERE request_id = ?"));
    known.BindText(request.request_id());
    TUNESMITH_ASSIGN_OR_RETURN(const bool found, known.Step());
    if (found && known.Bytes(1) != request_bytes) {
      return absl::AlreadyExistsError(
          StrCat("request_id \"", request.request_id(), "\" was used with another request"));
    }
    v1::Job job;
    if (found) {
      TUNESMITH_RETURN_IF_ERROR(ParseInto(known.Bytes(0), job));
      return job;
    }
  }
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t plan_id, PlanIdLocked(request.plan()));
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database_.Prepare(
          StrCat("INSERT INTO jobs (plan_id, state, queue_position, request_id, request, job) "
                 "VALUES (?, 0, ",
                 kNextPosition, ", ?, ?, x'')")));
  insert.Bind(plan_id);
  request.request_id().empty() ? insert.BindNull() : insert.BindText(request.request_id());
  TUNESMITH_RETURN_IF_ERROR(insert.BindBlob(request_bytes).Run());
  JobRecord record = {.job = NewJob(database_.LastInsertRowId(), request.spec(), jobs_directory)};
  std::vector<v1::Event> events(1);
  events[0].mutable_state_changed()->set_state(v1::JOB_STATE_QUEUED);
  TUNESMITH_RETURN_IF_ERROR(WriteLocked(record, events, false));
  TUNESMITH_RETURN_IF_ERROR(transaction->Commit());
  *made = true;
  return record.job;
}

absl::StatusOr<int64_t> Store::PlanIdLocked(const v1::Plan& plan) {
  const std::string bytes = plan.SerializeAsString();
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database_.Prepare("INSERT OR IGNORE INTO plans (program_digest, plan) VALUES (?, ?)"));
  TUNESMITH_RETURN_IF_ERROR(insert.BindText(plan.program_digest()).BindBlob(bytes).Run());
  TUNESMITH_ASSIGN_OR_RETURN(Statement select,
                             database_.Prepare("SELECT plan_id FROM plans WHERE plan = ?"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool found, select.BindBlob(bytes).Step());
  return found ? absl::StatusOr<int64_t>(select.Integer(0))
               : absl::InternalError("a plan was not stored");
}

absl::StatusOr<v1::Job> Store::GetJob(const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(name));
  std::lock_guard lock(mutex_);
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database_.Prepare(
          "SELECT job, event_offset, plan FROM jobs JOIN plans USING (plan_id) WHERE job_id = ?"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool found, statement.Bind(id).Step());
  if (!found) return NoSuchJob(name);
  TUNESMITH_ASSIGN_OR_RETURN(JobRecord record, RecordOf(statement));
  TUNESMITH_RETURN_IF_ERROR(ParseInto(statement.Bytes(2), *record.job.mutable_plan()));
  return std::move(record.job);
}

absl::StatusOr<JobRecord> Store::GetRecord(const std::string& name) {
  std::lock_guard lock(mutex_);
  return ReadLocked(name);
}

absl::StatusOr<JobRecord> Store::ReadLocked(const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(name));
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database_.Prepare("SELECT job, event_offset FROM jobs WHERE job_id = ?"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool found, statement.Bind(id).Step());
  if (!found) return NoSuchJob(name);
  return RecordOf(statement);
}

absl::StatusOr<std::vector<v1::Job>> Store::ListJobs(v1::JobState state, int64_t before_id,
                                                     int64_t limit) {
  std::lock_guard lock(mutex_);
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database_.Prepare("SELECT job, event_offset FROM jobs WHERE (?1 = 0 OR state = ?1) AND "
                        "(?2 = 0 OR job_id < ?2) ORDER BY job_id DESC LIMIT ?3"));
  statement.Bind(state).Bind(before_id).Bind(limit);
  std::vector<v1::Job> jobs;
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return jobs;
    TUNESMITH_ASSIGN_OR_RETURN(JobRecord record, RecordOf(statement));
    jobs.push_back(std::move(record.job));
  }
}

absl::StatusOr<std::vector<JobRecord>> Store::JobsInState(v1::JobState state) {
  std::lock_guard lock(mutex_);
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database_.Prepare(
          "SELECT job, event_offset FROM jobs WHERE state = ? ORDER BY queue_position"));
  statement.Bind(state);
  std::vector<JobRecord> records;
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return records;
    TUNESMITH_ASSIGN_OR_RETURN(JobRecord record, RecordOf(statement));
    records.push_back(std::move(record));
  }
}

absl::StatusOr<std::vector<v1::Event>> Store::EventsAfter(const std::string& name,
                                                          int64_t after_sequence, int64_t limit) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(name));
  std::lock_guard lock(mutex_);
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database_.Prepare(
          "SELECT event FROM events WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT ?"));
  statement.Bind(id).Bind(after_sequence).Bind(limit);
  std::vector<v1::Event> events;
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return events;
    TUNESMITH_RETURN_IF_ERROR(ParseInto(statement.Bytes(0), events.emplace_back()));
  }
}

absl::StatusOr<v1::Job> Store::Update(const std::string& name, const Change& change) {
  JobRecord record;
  {
    std::lock_guard lock(mutex_);
    TUNESMITH_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(database_));
    TUNESMITH_ASSIGN_OR_RETURN(record, ReadLocked(name));
    const v1::JobState before = record.job.state();
    std::vector<v1::Event> events;
    TUNESMITH_RETURN_IF_ERROR(change(record, events));
    const bool to_queue_end =
        record.job.state() == v1::JOB_STATE_QUEUED && before != v1::JOB_STATE_QUEUED;
    TUNESMITH_RETURN_IF_ERROR(WriteLocked(record, events, to_queue_end));
    TUNESMITH_RETURN_IF_ERROR(transaction->Commit());
  }
  listener_(name);
  return std::move(record.job);
}

absl::Status Store::WriteLocked(JobRecord& record, std::vector<v1::Event>& events,
                                bool to_queue_end) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(record.job.name()));
  for (v1::Event& event : events) {
    record.job.set_last_sequence(record.job.last_sequence() + 1);
    event.set_sequence(record.job.last_sequence());
    if (!event.has_time()) *event.mutable_time() = TimeUtil::GetCurrentTime();
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement insert,
        database_.Prepare("INSERT INTO events (job_id, sequence, event) VALUES (?, ?, ?)"));
    TUNESMITH_RETURN_IF_ERROR(
        insert.Bind(id).Bind(event.sequence()).BindBlob(event.SerializeAsString()).Run());
  }
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement update,
      database_.Prepare(
          StrCat("UPDATE jobs SET state = ?, event_offset = ?, job = ?, queue_position = ",
                 to_queue_end ? kNextPosition : "queue_position", " WHERE job_id = ?")));
  return update.Bind(record.job.state())
      .Bind(record.event_offset)
      .BindBlob(record.job.SerializeAsString())
      .Bind(id)
      .Run();
}

void Store::Checkpoint() {
  std::lock_guard lock(mutex_);
  (void)database_.Execute("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace tunesmith::server
