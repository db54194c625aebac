#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

// The part of SQLite that the store needs, with absl::Status. Not thread-safe: the owner of a
// Database serializes its use. Codes: RESOURCE_EXHAUSTED disk full; UNAVAILABLE locked by another
// process; PERMISSION_DENIED read-only; DATA_LOSS corrupt or not a database; ALREADY_EXISTS a
// uniqueness constraint; else INTERNAL.
namespace tunesmith::server {

// A prepared statement. Parameters are bound in order from 1; columns are read from 0.
class Statement {
 public:
  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Each binds the next parameter. Text and blobs are copied.
  Statement& Bind(int64_t value);
  Statement& BindText(std::string_view value);
  Statement& BindBlob(std::string_view value);
  Statement& BindNull();

  // True: a row is there to be read. False: done.
  absl::StatusOr<bool> Step();

  // Steps to the end, passing over rows.
  absl::Status Run();

  int64_t Integer(int column) const;
  std::string Bytes(int column) const;  // text or blob

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_;
  int next_parameter_ = 1;
};

enum class OpenMode { kCreate, kReadWrite, kReadOnly };

class Database {
 public:
  // Opens the file, and creates it where the mode says so. Waits up to 5 s for other processes'
  // locks.
  static absl::StatusOr<Database> Open(const std::string& path, OpenMode mode = OpenMode::kCreate);
  Database(Database&& other) noexcept;
  Database& operator=(Database&&) = delete;
  ~Database();

  // Runs statements that give no rows, separated by ';'.
  absl::Status Execute(const std::string& sql);

  absl::StatusOr<Statement> Prepare(std::string_view sql);

  // The single integer that `sql` gives.
  absl::StatusOr<int64_t> QueryInteger(std::string_view sql);

  int64_t LastInsertRowId() const;

  // Copies the whole database to a new file, page by page, while others read and write it. The copy
  // is of one moment. `between_pages` is called now and then. Errors name the file. REQUIRES: no transaction is
  // open on this connection.
  absl::Status CopyTo(const std::string& path, const std::function<void()>& between_pages);

  // The first thing that PRAGMA integrity_check finds; OK: nothing. CANCELLED by Interrupt().
  absl::Status CheckIntegrity();

  // Ends what runs on this connection. From any thread.
  void Interrupt();

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  absl::Status CopyPages(Database& copy, const std::function<void()>& between_pages);

  sqlite3* handle_;
};

// BEGIN IMMEDIATE ... COMMIT. Rolls back when destroyed without Commit().
class Transaction {
 public:
  static absl::StatusOr<std::unique_ptr<Transaction>> Begin(Database& database);
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(Database& database) : database_(database) {}

  Database& database_;
  bool open_ = true;
};

}  // namespace tunesmith::server
