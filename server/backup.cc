#include "server/backup.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/run_directory.h"
#include "server/data_lock.h"
#include "server/fail_point.h"
#include "server/migrations.h"
#include "server/sqlite.h"

namespace tunesmith::server {
namespace {

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, StrCat("cannot rename ", from, " to ", to));
}

absl::StatusOr<Database> OpenOurs(const std::string& path) {
  if (!Exists(path)) return absl::NotFoundError(StrCat("there is no database ", path));
  // Not read-only: SQLite then could not read a write-ahead log that a killed server left.
  TUNESMITH_ASSIGN_OR_RETURN(Database database, Database::Open(path, OpenMode::kReadWrite));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t application,
                             database.QueryInteger("PRAGMA application_id"));
  if (application != kApplicationId)
    return absl::FailedPreconditionError(StrCat(path, " is not a database of tunesmithd"));
  return database;
}

// The greatest N of the directories "<prefix>N".
int64_t LastId(const std::string& directory, std::string_view prefix) {
  int64_t last = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    int64_t id = 0;
    if (name.starts_with(prefix) && absl::SimpleAtoi(name.substr(prefix.size()), &id))
      last = std::max(last, id);
  }
  return last;
}

absl::Status SkipIds(Database& copy, std::string_view table, int64_t last) {
  return copy.Execute(StrCat("INSERT INTO sqlite_sequence (name, seq) SELECT '", table,
                             "', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '",
                             table, "'); UPDATE sqlite_sequence SET seq = max(seq, ", last,
                             ") WHERE name = '", table, "'"));
}

// Jobs and calibration runs that were made after the copy have directories, with what came out; their ids are not given out again.
absl::Status SkipIdsOfDirectories(const std::string& path, const std::string& data_directory) {
  const std::string jobs = convert::InDirectory(data_directory, convert::kJobsDirectory);
  const std::string runs = convert::InDirectory(data_directory, convert::kCalibrationRunsDirectory);
  TUNESMITH_ASSIGN_OR_RETURN(Database copy, Database::Open(path));
  TUNESMITH_RETURN_IF_ERROR(SkipIds(copy, "jobs", LastId(jobs, "job-")));
  TUNESMITH_RETURN_IF_ERROR(SkipIds(copy, "calibration_runs", LastId(runs, "run-")));
  return copy.Execute("PRAGMA journal_mode = DELETE");
}

// With its log, so that what is kept is whole.
absl::Status CopyOld(const std::string& path, const std::string& kept) {
  TUNESMITH_ASSIGN_OR_RETURN(Database old, Database::Open(path));
  TUNESMITH_RETURN_IF_ERROR(old.CopyTo(kept, [] {}));
  // A log that stayed would be taken for the restored database's.
  return old.Execute("PRAGMA journal_mode = DELETE");
}

// A damaged one, as it is, under another name too; its log under that alone.
absl::Status PutOldAside(const std::string& path, const std::string& kept) {
  unlink(kept.c_str());  // the part that could be copied
  if (link(path.c_str(), kept.c_str()) != 0)
    return absl::ErrnoToStatus(errno, StrCat("cannot link ", path, " to ", kept));
  for (const char* log : {"-wal", "-shm"}) {
    if (Exists(StrCat(path, log)))
      TUNESMITH_RETURN_IF_ERROR(Rename(StrCat(path, log), StrCat(kept, log)));
  }
  return absl::OkStatus();
}

std::string Stamp() { return absl::FormatTime("%Y%m%dT%H%M%SZ", absl::Now(), absl::UTCTimeZone()); }

}  // namespace

absl::Status BackUpDatabase(const std::string& from, const std::string& to) {
  TUNESMITH_ASSIGN_OR_RETURN(Database database, OpenOurs(from));
  if (Exists(to)) return absl::AlreadyExistsError(StrCat(to, " exists; choose another name"));
  const std::string part = StrCat(to, ".part");
  unlink(part.c_str());  // of a copy that was broken off
  TUNESMITH_RETURN_IF_ERROR(database.CopyTo(part, [] { FailPoint("backup"); }));
  return Rename(part, to);
}

absl::Status RestoreDatabase(const std::string& from, const std::string& data_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(const FileLock lock, LockDataDirectory(data_directory));
  const std::string path = convert::InDirectory(data_directory, convert::kDatabaseFile);
  const std::string part = StrCat(path, ".restore");
  unlink(part.c_str());
  {
    TUNESMITH_ASSIGN_OR_RETURN(Database copy, OpenOurs(from));
    TUNESMITH_RETURN_IF_ERROR(copy.CheckIntegrity());
    TUNESMITH_RETURN_IF_ERROR(copy.CopyTo(part, [] {}));
  }
  TUNESMITH_RETURN_IF_ERROR(SkipIdsOfDirectories(part, data_directory));
  if (Exists(path)) {
    const std::string kept = StrCat(path, ".before-restore-", Stamp());
    absl::Status status = CopyOld(path, kept);
    if (!status.ok() && !absl::IsUnavailable(status)) status = PutOldAside(path, kept);
    TUNESMITH_RETURN_IF_ERROR(status);
  }
  return Rename(part, path);
}

}  // namespace tunesmith::server
