#include "server/store.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/run_directory.h"
#include "server/error_info.h"
#include "server/migrations.h"
#include "server/operations/metrics.h"

namespace tunesmith::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kNamePrefix = "jobs/job-";
constexpr char kRecordColumns[] = "job, job_id, state, uid, launcher, event_offset, handle";
constexpr char kNextPosition[] = "(SELECT coalesce(max(queue_position), 0) + 1 FROM jobs)";

template <typename Message>
absl::Status ParseInto(const std::string& bytes, Message& message) {
  if (message.ParseFromString(bytes)) return absl::OkStatus();
  return absl::DataLossError(StrCat("a stored ", Message::descriptor()->name(),
                                    " does not parse; restore a backup of the database"));
}

// The columns kRecordColumns of the row that `statement` is at.
absl::StatusOr<JobRecord> RecordOf(const Statement& statement) {
  JobRecord record;
  TUNESMITH_RETURN_IF_ERROR(ParseInto(statement.Bytes(0), record.job));
  record.job.set_name(JobName(statement.Integer(1)));
  record.job.set_state(static_cast<v1::JobState>(statement.Integer(2)));
  record.job.set_uid(statement.Bytes(3));
  record.job.set_launcher(statement.Bytes(4));
  record.event_offset = statement.Integer(5);
  record.handle = statement.Bytes(6);
  return record;
}

// Of rows that do not parse the errors, by the names of their jobs.
absl::StatusOr<std::vector<JobRecord>> RecordsOf(Statement& statement, Store::Problems& problems) {
  std::vector<JobRecord> records;
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return records;
    absl::StatusOr<JobRecord> record = RecordOf(statement);
    if (!record.ok()) problems[JobName(statement.Integer(1))] = record.status();
    if (record.ok()) records.push_back(*std::move(record));
  }
}

absl::Status NoSuchJob(const std::string& name) {
  return WithReason(absl::NotFoundError(StrCat("there is no job \"", name,
                                               "\"; `tunesmith jobs list` shows those there are")),
                    "JOB_NOT_FOUND", {{"job", name}});
}

absl::StatusOr<JobRecord> ReadRecord(Database& database, const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(name));
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare(StrCat("SELECT ", kRecordColumns, " FROM jobs WHERE job_id = ?")));
  TUNESMITH_ASSIGN_OR_RETURN(const bool found, statement.Bind(id).Step());
  if (!found) return NoSuchJob(name);
  return RecordOf(statement);
}

absl::StatusOr<int64_t> PlanId(Database& database, const v1::Plan& plan) {
  const std::string bytes = plan.SerializeAsString();
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare("INSERT OR IGNORE INTO plans (program_digest, plan) VALUES (?, ?)"));
  TUNESMITH_RETURN_IF_ERROR(insert.BindText(plan.program_digest()).BindBlob(bytes).Run());
  TUNESMITH_ASSIGN_OR_RETURN(Statement select,
                             database.Prepare("SELECT plan_id FROM plans WHERE plan = ?"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool found, select.BindBlob(bytes).Step());
  return found ? absl::StatusOr<int64_t>(select.Integer(0))
               : absl::InternalError("a plan was not stored");
}

absl::Status AddEvents(Database& database, v1::Job& job, std::vector<v1::Event>& events) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(job.name()));
  for (v1::Event& event : events) {
    job.set_last_sequence(job.last_sequence() + 1);
    event.set_sequence(job.last_sequence());
    if (!event.has_time()) *event.mutable_time() = TimeUtil::GetCurrentTime();
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement insert,
        database.Prepare("INSERT INTO events (job_id, sequence, event) VALUES (?, ?, ?)"));
    TUNESMITH_RETURN_IF_ERROR(
        insert.Bind(id).Bind(event.sequence()).BindBlob(event.SerializeAsString()).Run());
  }
  return absl::OkStatus();
}

absl::Status WriteRecord(Database& database, JobRecord& record, std::vector<v1::Event>& events) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(record.job.name()));
  TUNESMITH_RETURN_IF_ERROR(AddEvents(database, record.job, events));
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement update,
      database.Prepare(StrCat("UPDATE jobs SET state = ?, event_offset = ?, handle = ?, "
                              "end_micros = ?, job = ?, queue_position = ",
                              record.to_queue_end ? kNextPosition : "queue_position",
                              " WHERE job_id = ?")));
  const v1::Job& job = record.job;
  return update.Bind(job.state())
      .Bind(record.event_offset)
      .BindText(record.handle)
      .Bind(job.has_end_time() ? TimeUtil::TimestampToMicroseconds(job.end_time()) : 0)
      .BindBlob(job.SerializeAsString())
      .Bind(id)
      .Run();
}

// The job of the answer that was given to this key before, if it was.
template <typename Response>
absl::StatusOr<std::optional<v1::Job>> AnsweredBefore(Database& database, const RequestKey& key) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto stored, StoredAnswer(database, key));
  if (!stored) return std::nullopt;
  Response response;
  TUNESMITH_RETURN_IF_ERROR(ParseInto(*stored, response));
  return std::move(*response.mutable_job());
}

absl::StatusOr<v1::Job> InsertJob(Database& database, v1::Job job,
                                  const std::string& jobs_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t plan_id, PlanId(database, job.plan()));
  job.set_uid(NewUid());
  job.set_state(v1::JOB_STATE_QUEUED);
  *job.mutable_create_time() = TimeUtil::GetCurrentTime();
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare(StrCat("INSERT INTO jobs (plan_id, uid, state, queue_position, launcher, "
                              "model, create_micros, job) VALUES (?, ?, ?, ",
                              kNextPosition, ", ?, ?, ?, x'')")));
  TUNESMITH_RETURN_IF_ERROR(insert.Bind(plan_id)
                                .BindText(job.uid())
                                .Bind(job.state())
                                .BindText(job.launcher())
                                .BindText(job.plan().inputs().model().name())
                                .Bind(TimeUtil::TimestampToMicroseconds(job.create_time()))
                                .Run());
  const int64_t id = database.LastInsertRowId();
  job.clear_plan();
  job.set_name(JobName(id));
  job.set_run_directory(convert::InDirectory(jobs_directory, StrCat("job-", id)));
  JobRecord record = {.job = std::move(job)};
  std::vector<v1::Event> events(1);
  events[0].mutable_state_changed()->set_state(v1::JOB_STATE_QUEUED);
  TUNESMITH_RETURN_IF_ERROR(WriteRecord(database, record, events));
  return std::move(record.job);
}

void CountTransition(v1::JobState state) {
  std::string name = v1::JobState_Name(state);
  name.erase(0, std::string("JOB_STATE_").size());
  ProcessMetrics()
      .CounterOf("tunesmith_job_transitions_total", "Jobs that have come into a state.",
                 {{"state", name}})
      .Add();
}

}  // namespace

std::string JobName(int64_t id) { return StrCat(kNamePrefix, id); }

absl::StatusOr<int64_t> JobId(const std::string& name) {
  int64_t id = 0;
  if (name.starts_with(kNamePrefix) && absl::SimpleAtoi(name.substr(kNamePrefix.size()), &id) &&
      JobName(id) == name) {
    return id;
  }
  return WithReason(absl::InvalidArgumentError(
                        StrCat("\"", name, "\" is not the name of a job, such as \"jobs/job-7\"")),
                    "MALFORMED_NAME");
}

bool IsTerminal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path,
                                                   const std::string& backups) {
  TUNESMITH_ASSIGN_OR_RETURN(std::unique_ptr<DatabasePool> pool, DatabasePool::Open(path, backups));
  return std::unique_ptr<Store>(new Store(std::move(pool)));
}

absl::StatusOr<v1::Job> Store::CreateJob(const v1::Job& job, const std::string& jobs_directory,
                                         const RequestKey& key) {
  bool made = false;
  auto stored = pool_->Write([&](Database& database) -> absl::StatusOr<v1::Job> {
    TUNESMITH_ASSIGN_OR_RETURN(auto before, AnsweredBefore<v1::CreateJobResponse>(database, key));
    made = !before.has_value();
    if (before) return *std::move(before);
    v1::CreateJobResponse answer;
    TUNESMITH_ASSIGN_OR_RETURN(*answer.mutable_job(), InsertJob(database, job, jobs_directory));
    TUNESMITH_RETURN_IF_ERROR(StoreAnswer(database, key, answer));
    return std::move(*answer.mutable_job());
  });
  if (made && stored.ok()) CountTransition(stored->state());
  if (made && stored.ok()) listener_(stored->name());
  return stored;
}

absl::StatusOr<v1::Job> Store::GetJob(const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(name));
  return pool_->Read([&](Database& database) -> absl::StatusOr<v1::Job> {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare(StrCat("SELECT ", kRecordColumns,
                                ", plan FROM jobs JOIN plans USING (plan_id) WHERE job_id = ?")));
    TUNESMITH_ASSIGN_OR_RETURN(const bool found, statement.Bind(id).Step());
    if (!found) return NoSuchJob(name);
    TUNESMITH_ASSIGN_OR_RETURN(JobRecord record, RecordOf(statement));
    TUNESMITH_RETURN_IF_ERROR(ParseInto(statement.Bytes(7), *record.job.mutable_plan()));
    return std::move(record.job);
  });
}

absl::StatusOr<JobRecord> Store::GetRecord(const std::string& name) {
  return pool_->Read([&](Database& database) { return ReadRecord(database, name); });
}

namespace {

// The index that a page is read from, in the order of ids. SQLite's own choice goes by how many values a column has: of a launcher that has no job, where all jobs
// have another, it reads the whole table.
std::string_view IndexFor(const std::vector<JobCondition>& conditions) {
  constexpr std::pair<std::string_view, std::string_view> kIndexes[] = {
      {"model", " INDEXED BY jobs_by_model"},
      {"state", " INDEXED BY jobs_by_state_and_id"},
      {"launcher", " INDEXED BY jobs_by_launcher"}};
  const auto names = [&](std::string_view column) {
    return std::any_of(conditions.begin(), conditions.end(), [&](const JobCondition& condition) {
      return condition.column == column && condition.operator_text == "=";
    });
  };
  if (names("uid")) return "";  // there is one at most
  for (const auto& [column, index] : kIndexes) {
    if (names(column)) return index;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<v1::Job>> Store::ListJobs(const std::vector<JobCondition>& conditions,
                                                     int64_t before_id, int64_t limit) {
  std::string sql =
      StrCat("SELECT ", kRecordColumns, " FROM jobs", IndexFor(conditions), " WHERE job_id < ?");
  for (const JobCondition& condition : conditions)
    absl::StrAppend(&sql, " AND ", condition.column, " ", condition.operator_text, " ?");
  absl::StrAppend(&sql, " ORDER BY job_id DESC LIMIT ?");
  return pool_->Read([&](Database& database) -> absl::StatusOr<std::vector<v1::Job>> {
    TUNESMITH_ASSIGN_OR_RETURN(Statement statement, database.Prepare(sql));
    statement.Bind(before_id == 0 ? std::numeric_limits<int64_t>::max() : before_id);
    for (const JobCondition& condition : conditions)
      condition.is_text ? statement.BindText(condition.text) : statement.Bind(condition.integer);
    Problems problems;
    TUNESMITH_ASSIGN_OR_RETURN(std::vector<JobRecord> records,
                               RecordsOf(statement.Bind(limit), problems));
    if (!problems.empty()) return problems.begin()->second;
    std::vector<v1::Job> jobs;
    for (JobRecord& record : records) jobs.push_back(std::move(record.job));
    return jobs;
  });
}

absl::StatusOr<std::vector<JobRecord>> Store::JobsInState(v1::JobState state,
                                                          const std::string& launcher,
                                                          int64_t limit, Problems* problems) {
  return pool_->Read([&](Database& database) -> absl::StatusOr<std::vector<JobRecord>> {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare(StrCat("SELECT ", kRecordColumns,
                                " FROM jobs WHERE state = ?1 AND (?2 = '' OR launcher = ?2) "
                                "ORDER BY queue_position LIMIT ?3")));
    Problems untold;
    return RecordsOf(statement.Bind(state).BindText(launcher).Bind(limit),
                     problems != nullptr ? *problems : untold);
  });
}

absl::StatusOr<int64_t> Store::CountInState(v1::JobState state, const std::string& launcher) {
  return pool_->Read([&](Database& database) -> absl::StatusOr<int64_t> {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare("SELECT count(*) FROM jobs WHERE state = ? AND launcher = ?"));
    TUNESMITH_RETURN_IF_ERROR(statement.Bind(state).BindText(launcher).Step().status());
    return statement.Integer(0);
  });
}

absl::StatusOr<std::vector<v1::Event>> Store::EventsAfter(const std::string& name,
                                                          int64_t after_sequence, int64_t limit) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JobId(name));
  return pool_->Read([&](Database& database) -> absl::StatusOr<std::vector<v1::Event>> {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare("SELECT event FROM events WHERE job_id = ? AND sequence > ? "
                         "ORDER BY sequence LIMIT ?"));
    statement.Bind(id).Bind(after_sequence).Bind(limit);
    std::vector<v1::Event> events;
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) return events;
      TUNESMITH_RETURN_IF_ERROR(ParseInto(statement.Bytes(0), events.emplace_back()));
    }
  });
}

absl::StatusOr<v1::Job> Store::Update(const std::string& name, const Change& change,
                                      const RequestKey& key) {
  bool changed = false;
  v1::JobState state_before = v1::JOB_STATE_UNSPECIFIED;
  auto stored = pool_->Write([&](Database& database) -> absl::StatusOr<v1::Job> {
    TUNESMITH_ASSIGN_OR_RETURN(auto before, AnsweredBefore<v1::ResumeJobResponse>(database, key));
    changed = !before.has_value();
    if (before) return *std::move(before);
    TUNESMITH_ASSIGN_OR_RETURN(JobRecord record, ReadRecord(database, name));
    state_before = record.job.state();
    std::vector<v1::Event> events;
    TUNESMITH_RETURN_IF_ERROR(change(record, events));
    TUNESMITH_RETURN_IF_ERROR(WriteRecord(database, record, events));
    v1::ResumeJobResponse answer;
    *answer.mutable_job() = std::move(record.job);
    TUNESMITH_RETURN_IF_ERROR(StoreAnswer(database, key, answer));
    return std::move(*answer.mutable_job());
  });
  if (changed && stored.ok() && stored->state() != state_before) CountTransition(stored->state());
  if (changed && stored.ok()) listener_(name);
  return stored;
}

absl::StatusOr<int64_t> Store::DeleteEnded(absl::Time end, int64_t limit) {
  return pool_->Write([&](Database& database) -> absl::StatusOr<int64_t> {
    TUNESMITH_RETURN_IF_ERROR(
        database.Execute("CREATE TEMP TABLE IF NOT EXISTS old_jobs (job_id INTEGER PRIMARY KEY); "
                         "DELETE FROM old_jobs; "
                         "CREATE TEMP TABLE IF NOT EXISTS old_plans (plan_id INTEGER PRIMARY KEY); "
                         "DELETE FROM old_plans"));
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement choose, database.Prepare("INSERT INTO old_jobs SELECT job_id FROM jobs WHERE "
                                           "end_micros > 0 AND end_micros < ? LIMIT ?"));
    TUNESMITH_RETURN_IF_ERROR(choose.Bind(absl::ToUnixMicros(end)).Bind(limit).Run());
    TUNESMITH_RETURN_IF_ERROR(database.Execute(
        "INSERT INTO old_plans SELECT DISTINCT plan_id FROM jobs WHERE job_id IN old_jobs; "
        "DELETE FROM events WHERE job_id IN old_jobs; DELETE FROM jobs WHERE job_id IN old_jobs; "
        "DELETE FROM plans WHERE plan_id IN old_plans "
        "AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.plan_id = plans.plan_id)"));
    return database.QueryInteger("SELECT count(*) FROM old_jobs");
  });
}

absl::Status Store::DeleteRequests(absl::Time time) {
  return pool_->Write([&](Database& database) {
    TUNESMITH_ASSIGN_OR_RETURN(Statement statement,
                               database.Prepare("DELETE FROM requests WHERE time_micros < ?"));
    return statement.Bind(absl::ToUnixMicros(time)).Run();
  });
}

}  // namespace tunesmith::server
