#include "server/migrations.h"

#include <stdio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <memory>

#include "absl/strings/escaping.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "server/fail_point.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {
namespace {

// Messages are stored as protobuf bytes; columns beside them are what queries need, and where a
// column says what a message says too, the column counts. Never change a step that was released:
// add one, with a fixture of the version before it in tests/server/schemas.
struct Step {
  const char* sql;
  absl::Status (*then)(Database& database);  // what SQL cannot do; null: nothing
};

constexpr char kFirstSchema[] = R"sql(
  CREATE TABLE plans (
    plan_id INTEGER PRIMARY KEY,
    program_digest TEXT NOT NULL,
    plan BLOB NOT NULL UNIQUE                -- v1.Plan
  ) STRICT;
  CREATE TABLE jobs (
    job_id INTEGER PRIMARY KEY AUTOINCREMENT,
    plan_id INTEGER NOT NULL REFERENCES plans (plan_id),
    state INTEGER NOT NULL,                  -- v1.JobState
    queue_position INTEGER NOT NULL,         -- lower runs first
    event_offset INTEGER NOT NULL DEFAULT 0, -- bytes of events.jsonl that are in `events`
    request_id TEXT UNIQUE,
    request BLOB NOT NULL,                   -- v1.CreateJobRequest, for repeated calls
    job BLOB NOT NULL                        -- v1.Job without its plan
  ) STRICT;
  CREATE INDEX jobs_by_state ON jobs (state, queue_position);
  CREATE TABLE events (
    job_id INTEGER NOT NULL REFERENCES jobs (job_id),
    sequence INTEGER NOT NULL,               -- 1, 2, 3, ... per job
    event BLOB NOT NULL,                     -- v1.Event
    PRIMARY KEY (job_id, sequence)
  ) STRICT, WITHOUT ROWID;
)sql";

constexpr char kLaunchersAndRequests[] = R"sql(
  DROP INDEX jobs_by_state;
  ALTER TABLE jobs RENAME TO jobs_1;
  CREATE TABLE jobs (
    job_id INTEGER PRIMARY KEY AUTOINCREMENT,
    plan_id INTEGER NOT NULL REFERENCES plans (plan_id),
    uid TEXT NOT NULL UNIQUE,                -- a UUID, by which launchers know the job
    state INTEGER NOT NULL,                  -- v1.JobState
    queue_position INTEGER NOT NULL,         -- lower runs first
    launcher TEXT NOT NULL,
    handle TEXT NOT NULL DEFAULT '',         -- what the launcher called the present attempt
    model TEXT NOT NULL,
    create_micros INTEGER NOT NULL,          -- since 1970
    end_micros INTEGER NOT NULL DEFAULT 0,   -- 0: not terminal
    event_offset INTEGER NOT NULL DEFAULT 0, -- bytes of events.jsonl that are in `events`
    job BLOB NOT NULL                        -- v1.Job without its plan
  ) STRICT;
  CREATE TABLE requests (
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    time_micros INTEGER NOT NULL,
    request BLOB NOT NULL,                   -- empty: not known, not compared
    answer BLOB NOT NULL,
    PRIMARY KEY (method, request_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX requests_by_time ON requests (time_micros);
  CREATE TABLE models (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    model BLOB NOT NULL                      -- v1.ModelSpec
  ) STRICT;
  CREATE TABLE gpus (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    gpu BLOB NOT NULL                        -- v1.Hardware
  ) STRICT;
  CREATE TABLE measurements (
    measurement_id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL,                 -- 0: of a plan that was run elsewhere; the job may be gone
    program_digest TEXT NOT NULL,
    measurement BLOB NOT NULL                -- v1.Measurement
  ) STRICT;
  CREATE INDEX measurements_by_job ON measurements (job_id, measurement_id);
  CREATE TABLE server_state (
    key TEXT PRIMARY KEY,                    -- open: 1 while a server has the database
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
)sql";

// A table that was filled is indexed afterwards, which is quicker. Events refer to `jobs` by name,
// and so to the new table, whose rows have the same ids.
constexpr char kEndOfLaunchersAndRequests[] = R"sql(
  DROP TABLE jobs_1;
  CREATE INDEX jobs_by_state ON jobs (state, queue_position);
  CREATE INDEX jobs_by_state_and_id ON jobs (state, job_id);
  CREATE INDEX jobs_by_position ON jobs (queue_position);
  CREATE INDEX jobs_by_model ON jobs (model, job_id);
  CREATE INDEX jobs_by_launcher ON jobs (launcher, job_id);
  CREATE INDEX jobs_by_end ON jobs (end_micros) WHERE end_micros > 0;
  CREATE INDEX jobs_by_plan ON jobs (plan_id);
)sql";

constexpr char kCalibrations[] = R"sql(
  CREATE TABLE calibration_runs (
    run_id INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL,                    -- "cpu", "cuda:0"
    state INTEGER NOT NULL,                  -- v1.CalibrationRunState
    run BLOB NOT NULL                        -- v1.CalibrationRun without its name
  ) STRICT;
  CREATE UNIQUE INDEX active_calibration_runs ON calibration_runs (device) WHERE state IN (1, 2);
  CREATE TABLE calibrations (
    row_id INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,                 -- v1.Calibration.id
    device_name TEXT NOT NULL,
    source TEXT NOT NULL,                    -- v1.CalibrationRecord.source
    create_micros INTEGER NOT NULL,          -- since 1970
    delete_micros INTEGER NOT NULL DEFAULT 0, -- 0: not deleted
    calibration BLOB NOT NULL                -- v1.Calibration
  ) STRICT;
)sql";

int64_t Micros(const google::protobuf::Timestamp& time) {
  return google::protobuf::util::TimeUtil::TimestampToMicroseconds(time);
}

absl::Status KeepRequest(Database& database, const Statement& row, const v1::Job& job) {
  const std::string request_id = row.Bytes(4);
  if (request_id.empty()) return absl::OkStatus();
  v1::CreateJobResponse answer;
  *answer.mutable_job() = job;
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare("INSERT INTO requests (method, request_id, time_micros, request, answer) "
                       "VALUES ('CreateJob', ?, ?, x'', ?)"));
  return insert.BindText(request_id)
      .Bind(Micros(job.create_time()))
      .BindBlob(answer.SerializeAsString())
      .Run();
}

absl::Status KeepJob(Database& database, const Statement& row) {
  v1::Job job;
  v1::Plan plan;
  if (!job.ParseFromString(row.Bytes(6)) || !plan.ParseFromString(row.Bytes(7)))
    return absl::DataLossError(StrCat("job ", row.Integer(0), " does not parse"));
  job.set_uid(NewUid());
  job.set_launcher("host");
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare("INSERT INTO jobs (job_id, plan_id, uid, state, queue_position, launcher, "
                       "model, create_micros, end_micros, event_offset, job) "
                       "VALUES (?, ?, ?, ?, ?, 'host', ?, ?, ?, ?, ?)"));
  TUNESMITH_RETURN_IF_ERROR(insert.Bind(row.Integer(0))
                                .Bind(row.Integer(1))
                                .BindText(job.uid())
                                .Bind(row.Integer(2))
                                .Bind(row.Integer(3))
                                .BindText(plan.inputs().model().name())
                                .Bind(Micros(job.create_time()))
                                .Bind(job.has_end_time() ? Micros(job.end_time()) : 0)
                                .Bind(row.Integer(5))
                                .BindBlob(job.SerializeAsString())
                                .Run());
  return KeepRequest(database, row, job);
}

absl::Status KeepJobs(Database& database) {
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement row,
      database.Prepare("SELECT job_id, plan_id, state, queue_position, coalesce(request_id, ''), "
                       "event_offset, job, plan FROM jobs_1 JOIN plans USING (plan_id)"));
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) break;
    TUNESMITH_RETURN_IF_ERROR(KeepJob(database, row));
  }
  return absl::OkStatus();
}

absl::Status FinishLaunchersAndRequests(Database& database) {
  TUNESMITH_RETURN_IF_ERROR(KeepJobs(database));
  return database.Execute(kEndOfLaunchersAndRequests);
}

constexpr Step kSteps[] = {
    {kFirstSchema, nullptr},
    {kLaunchersAndRequests, FinishLaunchersAndRequests},
    {kCalibrations, nullptr},
};

absl::Status CheckOwner(Database& database, const std::string& path, int64_t version) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t application,
                             database.QueryInteger("PRAGMA application_id"));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t tables,
                             database.QueryInteger("SELECT count(*) FROM sqlite_schema"));
  const bool is_new = application == 0 && tables == 0;
  if (application != kApplicationId && !is_new) {
    return absl::FailedPreconditionError(
        StrCat(path, " is the database of another application; choose another --data-dir"));
  }
  if (version > SchemaVersion()) {
    return absl::FailedPreconditionError(StrCat(path, " was written by a newer tunesmithd (schema ",
                                                version, ", this one knows up to ", SchemaVersion(),
                                                "); use that version or another --data-dir"));
  }
  return absl::OkStatus();
}

// Foreign keys are off meanwhile, since tables are replaced; they are checked before the commit.
absl::Status ApplyStep(Database& database, int64_t version) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::unique_ptr<Transaction> transaction,
                             Transaction::Begin(database));
  const Step& step = kSteps[version];
  TUNESMITH_RETURN_IF_ERROR(database.Execute(step.sql));
  if (step.then != nullptr) TUNESMITH_RETURN_IF_ERROR(step.then(database));
  TUNESMITH_ASSIGN_OR_RETURN(
      const int64_t dangling,
      database.QueryInteger("SELECT count(*) FROM pragma_foreign_key_check"));
  if (dangling > 0)
    return absl::DataLossError(StrCat(dangling, " rows refer to rows that are not there"));
  TUNESMITH_RETURN_IF_ERROR(database.Execute(StrCat("PRAGMA user_version = ", version + 1)));
  FailPoint("migration");
  return transaction->Commit();
}

// The database as it is, before steps change it. A copy from before an earlier upgrade, after which somebody went back, makes room: it lacks what came since.
absl::Status BackUpBefore(Database& database, const std::string& path, int64_t version,
                          const std::string& backups) {
  const std::string directory =
      backups.empty() ? std::filesystem::path(path).parent_path().string() : backups;
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  const std::string copy = StrCat(directory, "/before-schema-", version + 1, ".db");
  const std::string part = StrCat(copy, ".part");
  unlink(part.c_str());
  TUNESMITH_RETURN_IF_ERROR(database.CopyTo(part, [] { FailPoint("migration_backup"); }));
  if (rename(part.c_str(), copy.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, StrCat("cannot rename ", part, " to ", copy));
}

}  // namespace

int64_t SchemaVersion() { return static_cast<int64_t>(std::size(kSteps)); }

std::string NewUid() {
  std::array<uint8_t, 16> bytes = {};
  (void)!getentropy(bytes.data(), bytes.size());
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x40);  // version 4, RFC 4122
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  return StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                hex.substr(16, 4), "-", hex.substr(20));
}

absl::Status Migrate(Database& database, const std::string& path, const std::string& backups,
                     int64_t target) {
  TUNESMITH_ASSIGN_OR_RETURN(int64_t version, database.QueryInteger("PRAGMA user_version"));
  TUNESMITH_RETURN_IF_ERROR(CheckOwner(database, path, version));
  // WAL lets readers of a backup run beside us; FULL, since a job that was accepted must survive a
  // power cut.
  TUNESMITH_RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; "
      "PRAGMA legacy_alter_table = ON"));
  if (version > 0 && version < target)
    TUNESMITH_RETURN_IF_ERROR(BackUpBefore(database, path, version, backups));
  if (version == 0)
    TUNESMITH_RETURN_IF_ERROR(database.Execute(StrCat("PRAGMA application_id = ", kApplicationId)));
  for (; version < target; ++version) TUNESMITH_RETURN_IF_ERROR(ApplyStep(database, version));
  return database.Execute("PRAGMA foreign_keys = ON; PRAGMA legacy_alter_table = OFF");
}

}  // namespace tunesmith::server
