#include "server/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr int kBusyTimeoutMilliseconds = 5000;

absl::StatusCode CodeOf(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_INTERRUPT:
      return absl::StatusCode::kCancelled;
    default:
      return absl::StatusCode::kInternal;
  }
}

int FlagsOf(OpenMode mode) {
  switch (mode) {
    case OpenMode::kCreate:
      return SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    case OpenMode::kReadWrite:
      return SQLITE_OPEN_READWRITE;
    case OpenMode::kReadOnly:
      break;
  }
  return SQLITE_OPEN_READONLY;
}

absl::Status ErrorOf(sqlite3* database, int result) {
  const char* file = database ? sqlite3_db_filename(database, "main") : nullptr;
  return absl::Status(CodeOf(result),
                      StrCat("database ", file ? file : "", ": ",
                             database ? sqlite3_errmsg(database) : sqlite3_errstr(result)));
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      next_parameter_(other.next_parameter_) {}

Statement::~Statement() { sqlite3_finalize(statement_); }

// A failed bind (out of memory, wrong index) leaves NULL, which the NOT NULL constraints refuse.
Statement& Statement::Bind(int64_t value) {
  sqlite3_bind_int64(statement_, next_parameter_++, value);
  return *this;
}

Statement& Statement::BindText(std::string_view value) {
  sqlite3_bind_text(statement_, next_parameter_++, value.data(), static_cast<int>(value.size()),
                    SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::BindBlob(std::string_view value) {
  // A null pointer would bind NULL, and an empty message is not NULL.
  const char* data = value.empty() ? "" : value.data();
  sqlite3_bind_blob64(statement_, next_parameter_++, data, value.size(), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::BindNull() {
  sqlite3_bind_null(statement_, next_parameter_++);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return ErrorOf(database_, result);
}

absl::Status Statement::Run() {
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

int64_t Statement::Integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data ? std::string(static_cast<const char*>(data), static_cast<size_t>(size))
              : std::string();
}

absl::StatusOr<Database> Database::Open(const std::string& path, OpenMode mode) {
  sqlite3* handle = nullptr;
  const int result = sqlite3_open_v2(path.c_str(), &handle, FlagsOf(mode), nullptr);
  Database database(handle);
  if (result != SQLITE_OK)
    return absl::Status(CodeOf(result),
                        StrCat("cannot open database ", path, ": ", sqlite3_errstr(result)));
  sqlite3_busy_timeout(handle, kBusyTimeoutMilliseconds);
  return database;
}

Database::Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Database::~Database() { sqlite3_close_v2(handle_); }

absl::Status Database::Execute(const std::string& sql) {
  const int result = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  return result == SQLITE_OK ? absl::OkStatus() : ErrorOf(handle_, result);
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int result =
      sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (result != SQLITE_OK) return ErrorOf(handle_, result);
  return Statement(handle_, statement);
}

absl::StatusOr<int64_t> Database::QueryInteger(std::string_view sql) {
  TUNESMITH_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Integer(0) : 0;
}

int64_t Database::LastInsertRowId() const { return sqlite3_last_insert_rowid(handle_); }

absl::Status Database::CopyTo(const std::string& path, const std::function<void()>& between_pages) {
  TUNESMITH_ASSIGN_OR_RETURN(Database copy, Open(path));
  // A moment is held: else whatever another connection writes would have SQLite begin anew, for ever beside a busy server.
  absl::Status status = Execute("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1");
  if (status.ok()) status = CopyPages(copy, between_pages);
  (void)Execute("ROLLBACK");
  return status;
}

absl::Status Database::CopyPages(Database& copy, const std::function<void()>& between_pages) {
  constexpr int kPagesPerStep = 256;
  sqlite3_backup* backup = sqlite3_backup_init(copy.handle_, "main", handle_, "main");
  if (backup == nullptr) return ErrorOf(copy.handle_, sqlite3_errcode(copy.handle_));
  int result = SQLITE_OK;
  while (result == SQLITE_OK || result == SQLITE_BUSY || result == SQLITE_LOCKED) {
    result = sqlite3_backup_step(backup, kPagesPerStep);
    if (result == SQLITE_BUSY || result == SQLITE_LOCKED) sqlite3_sleep(10);
    between_pages();
  }
  const int finished = sqlite3_backup_finish(backup);
  if (result == SQLITE_DONE && finished == SQLITE_OK) return absl::OkStatus();
  return ErrorOf(copy.handle_, finished != SQLITE_OK ? finished : result);
}

absl::Status Database::CheckIntegrity() {
  TUNESMITH_ASSIGN_OR_RETURN(Statement statement, Prepare("PRAGMA integrity_check(1)"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
  const std::string found = row ? statement.Bytes(0) : "";
  if (found == "ok") return absl::OkStatus();
  return absl::DataLossError(StrCat("database ", sqlite3_db_filename(handle_, "main"),
                                    " is damaged: ", found, "; restore a backup of it"));
}

void Database::Interrupt() { sqlite3_interrupt(handle_); }

absl::StatusOr<std::unique_ptr<Transaction>> Transaction::Begin(Database& database) {
  TUNESMITH_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return std::unique_ptr<Transaction>(new Transaction(database));
}

Transaction::~Transaction() {
  if (open_) (void)database_.Execute("ROLLBACK");
}

absl::Status Transaction::Commit() {
  TUNESMITH_RETURN_IF_ERROR(database_.Execute("COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

}  // namespace tunesmith::server
