#include "server/migrations.h"

#include <memory>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

// Messages are stored as protobuf bytes; columns beside them are what queries need. Never change a
// step that was released: add one.
const std::vector<std::string>& Steps() {
  static const auto* const steps = new std::vector<std::string>{
      R"sql(
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
      )sql",
  };
  return *steps;
}

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

absl::Status ApplyStep(Database& database, int64_t version) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::unique_ptr<Transaction> transaction,
                             Transaction::Begin(database));
  TUNESMITH_RETURN_IF_ERROR(database.Execute(Steps()[static_cast<size_t>(version)]));
  TUNESMITH_RETURN_IF_ERROR(database.Execute(StrCat("PRAGMA user_version = ", version + 1)));
  return transaction->Commit();
}

}  // namespace

int64_t SchemaVersion() { return static_cast<int64_t>(Steps().size()); }

absl::Status Migrate(Database& database, const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(int64_t version, database.QueryInteger("PRAGMA user_version"));
  TUNESMITH_RETURN_IF_ERROR(CheckOwner(database, path, version));
  // WAL lets readers of a backup run beside us; FULL, since a job that was accepted must survive a
  // power cut.
  TUNESMITH_RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"));
  if (version == 0)
    TUNESMITH_RETURN_IF_ERROR(database.Execute(StrCat("PRAGMA application_id = ", kApplicationId)));
  for (; version < SchemaVersion(); ++version)
    TUNESMITH_RETURN_IF_ERROR(ApplyStep(database, version));
  return absl::OkStatus();
}

}  // namespace tunesmith::server
