#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/sqlite.h"

namespace tunesmith::server {

// The connections to the server's database: one that writes, a few that read beside it. What was
// written is seen by every read that starts afterwards. Thread-safe.
class DatabasePool {
 public:
  // Opens or creates the database, migrates it (a copy of an older one is put into `backups`
  // first; empty: beside the database), and notes that it is open. Errors as Database and Migrate.
  static absl::StatusOr<std::unique_ptr<DatabasePool>> Open(const std::string& path,
                                                            const std::string& backups = "");
  ~DatabasePool() { Close(); }

  // What `work`, of a Database&, gives: a Status or a StatusOr. It runs in a transaction on the
  // writer, which no other call has meanwhile. An error takes back what it did.
  template <typename Work>
  std::invoke_result_t<Work, Database&> Write(const Work& work) {
    return Keep(work, [this](const Step& step) { return RunWrite(step); });
  }

  // The same on a connection that only reads.
  template <typename Work>
  std::invoke_result_t<Work, Database&> Read(const Work& work) {
    return Keep(work, [this](const Step& step) { return RunRead(step); });
  }

  // The server that had the database before was stopped orderly, or there was none.
  bool was_closed() const { return was_closed_; }

  const std::string& path() const { return path_; }

  // Brings the write-ahead log into the database file and notes that the stop was orderly. Later
  // calls of Write undo the note's worth; make none.
  void Close();

 private:
  using Step = std::function<absl::Status(Database&)>;

  static absl::Status StatusOf(const absl::Status& status) { return status; }
  template <typename Value>
  static absl::Status StatusOf(const absl::StatusOr<Value>& result) {
    return result.status();
  }

  // Runs `work` as a step of `run` and gives its result, or why there is none.
  template <typename Work, typename Run>
  static std::invoke_result_t<Work, Database&> Keep(const Work& work, const Run& run) {
    std::invoke_result_t<Work, Database&> result = absl::UnknownError("not run");
    const absl::Status status = run([&](Database& database) {
      result = work(database);
      return StatusOf(result);
    });
    if (!status.ok()) return status;
    return result;
  }

  absl::Status RunWrite(const Step& work);
  absl::Status RunRead(const Step& work);
  DatabasePool(std::string path, Database writer)
      : path_(std::move(path)), writer_(std::move(writer)) {}
  absl::Status AddReaders();
  absl::Status NoteOpen();

  const std::string path_;
  std::mutex writer_mutex_;
  Database writer_;
  std::mutex readers_mutex_;
  std::condition_variable reader_is_free_;
  std::vector<std::unique_ptr<Database>> free_readers_;
  bool was_closed_ = true;
  bool closed_ = false;
};

}  // namespace tunesmith::server
