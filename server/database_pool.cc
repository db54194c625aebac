#include "server/database_pool.h"

#include <utility>

#include "common/status_macros.h"
#include "server/migrations.h"
#include "server/operations/metrics.h"

namespace tunesmith::server {
namespace {

constexpr int kReaderCount = 4;

}  // namespace

absl::StatusOr<std::unique_ptr<DatabasePool>> DatabasePool::Open(const std::string& path,
                                                                 const std::string& backups) {
  TUNESMITH_ASSIGN_OR_RETURN(Database writer, Database::Open(path));
  TUNESMITH_RETURN_IF_ERROR(Migrate(writer, path, backups));
  std::unique_ptr<DatabasePool> pool(new DatabasePool(path, std::move(writer)));
  TUNESMITH_RETURN_IF_ERROR(pool->NoteOpen());
  TUNESMITH_RETURN_IF_ERROR(pool->AddReaders());
  return pool;
}

absl::Status DatabasePool::AddReaders() {
  for (int i = 0; i < kReaderCount; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(Database reader, Database::Open(path_, OpenMode::kReadWrite));
    TUNESMITH_RETURN_IF_ERROR(reader.Execute("PRAGMA query_only = ON"));
    free_readers_.push_back(std::make_unique<Database>(std::move(reader)));
  }
  return absl::OkStatus();
}

absl::Status DatabasePool::NoteOpen() {
  TUNESMITH_ASSIGN_OR_RETURN(
      const int64_t open,
      writer_.QueryInteger("SELECT value FROM server_state WHERE key = 'open'"));
  was_closed_ = open == 0;
  return writer_.Execute(
      "INSERT INTO server_state (key, value) VALUES ('open', 1) "
      "ON CONFLICT (key) DO UPDATE SET value = 1");
}

absl::Status DatabasePool::RunWrite(const Step& work) {
  static Histogram& seconds = ProcessMetrics().HistogramOf(
      "tunesmith_store_write_seconds", "Writes to the database, waiting for others included.");
  const Stopwatch stopwatch(seconds);
  std::lock_guard lock(writer_mutex_);
  TUNESMITH_ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(writer_));
  TUNESMITH_RETURN_IF_ERROR(work(writer_));
  return transaction->Commit();
}

absl::Status DatabasePool::RunRead(const Step& work) {
  std::unique_ptr<Database> reader;
  {
    std::unique_lock lock(readers_mutex_);
    reader_is_free_.wait(lock, [this] { return !free_readers_.empty(); });
    reader = std::move(free_readers_.back());
    free_readers_.pop_back();
  }
  const absl::Status status = work(*reader);
  {
    std::lock_guard lock(readers_mutex_);
    free_readers_.push_back(std::move(reader));
  }
  reader_is_free_.notify_one();
  return status;
}

void DatabasePool::Close() {
  std::lock_guard lock(writer_mutex_);
  if (std::exchange(closed_, true)) return;
  (void)writer_.Execute(
      "UPDATE server_state SET value = 0 WHERE key = 'open'; "
      "PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace tunesmith::server
