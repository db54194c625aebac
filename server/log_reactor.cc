#include "server/log_reactor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/grpc_status.h"

namespace tunesmith::server {
namespace {

constexpr size_t kChunkBytes = size_t{64} << 10;
constexpr absl::Duration kLookInterval = absl::Milliseconds(200);
constexpr char kShuttingDown[] =
    "the server is shutting down; the job goes on, read its log again later";

int64_t SizeOf(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

// Up to a chunk from `offset`; a log that does not exist yet is empty.
absl::StatusOr<std::string> ReadChunk(const std::string& path, int64_t offset, size_t size) {
  std::string text(size, '\0');
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return "";
  if (fd < 0) return absl::ErrnoToStatus(errno, StrCat("cannot open ", path));
  const ssize_t count = pread(fd, text.data(), text.size(), static_cast<off_t>(offset));
  const int error = errno;
  close(fd);
  if (count < 0) return absl::ErrnoToStatus(error, StrCat("cannot read ", path));
  text.resize(static_cast<size_t>(count));
  return text;
}

// Where the first line begins of the last `tail` bytes.
int64_t TailStart(const std::string& path, int64_t tail) {
  const int64_t size = SizeOf(path);
  if (tail >= size) return 0;
  const auto text = ReadChunk(path, size - tail - 1,
                              static_cast<size_t>(std::min<int64_t>(tail + 1, kChunkBytes)));
  const size_t newline = text.ok() ? text->find('\n') : std::string::npos;
  return newline == std::string::npos ? size - tail : size - tail + static_cast<int64_t>(newline);
}

absl::Status CheckOffset(int64_t offset, int64_t tail, const std::string& path) {
  const int64_t size = SizeOf(path);
  if (offset >= 0 && offset <= size && tail >= 0) return absl::OkStatus();
  return absl::OutOfRangeError(StrCat("offset is ", offset, " and tail_bytes is ", tail,
                                      "; the offset must be 0 to ", size,
                                      ", the log's end, and tail_bytes 0 or above"));
}

}  // namespace

LogReactor::LogReactor(Store& store, EventHub& hub, const v1::StreamLogsRequest& request)
    : store_(store), hub_(hub), name_(request.name()), follow_(request.follow()) {
  const bool added = hub_.Add(name_, this);
  std::lock_guard lock(mutex_);
  if (added) {
    Start(request);
  } else {
    End(absl::UnavailableError(kShuttingDown));
  }
}

void LogReactor::Start(const v1::StreamLogsRequest& request) {
  const absl::StatusOr<JobRecord> record = store_.GetRecord(name_);
  if (!record.ok()) return End(record.status());
  path_ = convert::InDirectory(record->job.run_directory(), convert::kTrainerLogFile);
  const absl::Status status = CheckOffset(request.offset(), request.tail_bytes(), path_);
  if (!status.ok()) return End(status);
  offset_ = request.tail_bytes() > 0 ? TailStart(path_, request.tail_bytes()) : request.offset();
  Pump();
}

void LogReactor::Pump() {
  // The hub may call before Start has found the log.
  if (path_.empty() || writing_ || ended_) return;
  // In this order: what a job wrote before it ended is read after its end was seen.
  const absl::StatusOr<JobRecord> record = store_.GetRecord(name_);
  if (!record.ok()) return End(record.status());
  absl::StatusOr<std::string> text = ReadChunk(path_, offset_, kChunkBytes);
  if (!text.ok()) return End(text.status());
  if (text->empty()) {
    if (!follow_ || IsTerminal(record->job.state())) return End(absl::OkStatus());
    return LookAgainSoon();
  }
  offset_ += static_cast<int64_t>(text->size());
  chunk_.set_data(*std::move(text));
  chunk_.set_next_offset(offset_);
  writing_ = true;
  StartWrite(&chunk_);
}

void LogReactor::LookAgainSoon() {
  if (alarm_set_) return;
  alarm_set_ = true;
  alarm_.Set(absl::ToChronoTime(absl::Now() + kLookInterval), [this](bool) { OnAlarm(); });
}

void LogReactor::OnAlarm() {
  bool delete_now = false;
  {
    std::lock_guard lock(mutex_);
    alarm_set_ = false;
    delete_now = done_;
    Pump();
  }
  if (delete_now) delete this;
}

void LogReactor::End(const absl::Status& status) {
  if (ended_) return;
  ended_ = true;
  Finish(ToGrpcStatus(status));
}

void LogReactor::OnJobChanged() {
  std::lock_guard lock(mutex_);
  Pump();
}

void LogReactor::OnHubClosed() {
  std::lock_guard lock(mutex_);
  End(absl::UnavailableError(kShuttingDown));
}

void LogReactor::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  if (!ok) return End(absl::CancelledError("the stream is broken"));
  Pump();
}

void LogReactor::OnCancel() {
  std::lock_guard lock(mutex_);
  End(absl::CancelledError("the client went away"));
}

// The alarm may still come; the last of the two ends the object.
void LogReactor::OnDone() {
  hub_.Remove(name_, this);
  bool alarm_comes = false;
  {
    std::lock_guard lock(mutex_);
    done_ = true;
    alarm_comes = alarm_set_;
  }
  if (!alarm_comes) delete this;
}

}  // namespace tunesmith::server
