#include "server/log_reactor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::server {
namespace {

constexpr size_t kChunkBytes = size_t{64} << 10;
constexpr absl::Duration kLookInterval = absl::Milliseconds(200);

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
    : JobStream(hub, request.name(), "read its log again later"), store_(store), request_(request) {
  Begin();
}

absl::Status LogReactor::Start() {
  TUNESMITH_ASSIGN_OR_RETURN(const JobRecord record, store_.GetRecord(name()));
  path_ = convert::InDirectory(record.job.run_directory(), convert::kTrainerLogFile);
  const int64_t tail = request_.tail_bytes();
  TUNESMITH_RETURN_IF_ERROR(CheckOffset(request_.offset(), tail, path_));
  offset_ = tail > 0 ? TailStart(path_, tail) : request_.offset();
  return absl::OkStatus();
}

absl::Status LogReactor::Pump() {
  // In this order: what a job wrote before it ended is read after its end was seen.
  TUNESMITH_ASSIGN_OR_RETURN(const JobRecord record, store_.GetRecord(name()));
  TUNESMITH_ASSIGN_OR_RETURN(std::string text, ReadChunk(path_, offset_, kChunkBytes));
  if (text.empty()) {
    if (request_.follow() && !IsTerminal(record.job.state())) {
      LookAgainSoon();
    } else {
      End(absl::OkStatus());
    }
    return absl::OkStatus();
  }
  offset_ += static_cast<int64_t>(text.size());
  v1::StreamLogsResponse chunk;
  chunk.set_data(std::move(text));
  chunk.set_next_offset(offset_);
  Write(std::move(chunk));
  return absl::OkStatus();
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
    Continue();
  }
  if (delete_now) delete this;
}

// The alarm may still come; the last of the two ends the object.
void LogReactor::OnDone() {
  LeaveHub();
  bool alarm_comes = false;
  {
    std::lock_guard lock(mutex_);
    done_ = true;
    alarm_comes = alarm_set_;
  }
  if (!alarm_comes) delete this;
}

}  // namespace tunesmith::server
