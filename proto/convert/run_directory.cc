#include "proto/convert/run_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/descriptor.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/json.h"

namespace tunesmith::convert {
namespace {

constexpr int64_t kReadBytes = kMiB;
constexpr std::string_view kAttemptPrefix = "attempt-";

absl::Status ErrnoStatus(std::string_view what, std::string_view path) {
  return absl::ErrnoToStatus(errno, StrCat(what, " ", path));
}

// Reads up to `size` bytes at `offset`; fewer at the end of the file.
absl::StatusOr<std::string> ReadAt(int fd, int64_t offset, int64_t size, std::string_view path) {
  std::string text(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = pread(fd, text.data() + done, text.size() - done,
                                static_cast<off_t>(offset + static_cast<int64_t>(done)));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("cannot read", path);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  text.resize(done);
  return text;
}

absl::StatusOr<int64_t> FileSize(int fd, std::string_view path) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return ErrnoStatus("cannot stat", path);
  return static_cast<int64_t>(info.st_size);
}

// The sequence of the last whole line that parses; 0 when there is none.
int64_t LastSequence(std::string_view whole_lines) {
  const std::vector<absl::string_view> lines =
      absl::StrSplit(ToAbsl(whole_lines), '\n', absl::SkipEmpty());
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (const auto event = DecodeEventLine(ToStd(*line)); event.ok()) return event->sequence();
  }
  return 0;
}

// Behind the last whole line of the first `size` bytes.
absl::StatusOr<int64_t> EndOfLines(int fd, int64_t size, std::string_view path) {
  while (size > 0) {
    const int64_t begin = std::max<int64_t>(0, size - kReadBytes);
    TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadAt(fd, begin, size - begin, path));
    if (const size_t newline = text.rfind('\n'); newline != std::string::npos)
      return begin + static_cast<int64_t>(newline) + 1;
    size = begin;
  }
  return 0;
}

// From where to read on: `offset`, unless the file has become shorter.
absl::StatusOr<int64_t> OffsetIn(int fd, int64_t offset, std::string_view path) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t size, FileSize(fd, path));
  return size < offset ? EndOfLines(fd, size, path) : offset;
}

absl::Status WriteAll(int fd, std::string_view text, std::string_view path) {
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("cannot append to", path);
    text.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

}  // namespace

std::string InDirectory(std::string_view directory, std::string_view name) {
  return StrCat(directory, "/", name);
}

std::string AttemptFile(int64_t attempt) { return StrCat(kAttemptPrefix, attempt); }

std::string CheckpointDirectory(int64_t step) {
  return StrCat(kCheckpointsDirectory, "/step-", step);
}

absl::StatusOr<int64_t> NewestAttempt(const std::string& run_directory) {
  std::error_code error;
  std::filesystem::directory_iterator entry(run_directory, error);
  int64_t newest = 0;
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    int64_t attempt = 0;
    if (name.starts_with(kAttemptPrefix) &&
        absl::SimpleAtoi(name.substr(kAttemptPrefix.size()), &attempt)) {
      newest = std::max(newest, attempt);
    }
  }
  if (error) return absl::ErrnoToStatus(error.value(), StrCat("cannot list ", run_directory));
  return newest;
}

std::string EncodeEventLine(const v1::Event& event) { return ToJson(event, JsonLayout::kOneLine); }

absl::StatusOr<v1::Event> DecodeEventLine(std::string_view line) {
  v1::Event event;
  TUNESMITH_RETURN_IF_ERROR(FromJson(line, "the event line", &event, UnknownFields::kIgnore));
  return event;
}

EventWriter::EventWriter(int fd, std::string path, int64_t size_bytes, int64_t last_sequence)
    : fd_(fd), path_(std::move(path)), size_bytes_(size_bytes), last_sequence_(last_sequence) {}

EventWriter::~EventWriter() { close(fd_); }

absl::StatusOr<std::unique_ptr<EventWriter>> EventWriter::Open(const std::string& run_directory) {
  std::string path = InDirectory(run_directory, kEventsFile);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  std::unique_ptr<EventWriter> writer(new EventWriter(fd, std::move(path), 0, 0));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t size, FileSize(fd, writer->path_));
  TUNESMITH_ASSIGN_OR_RETURN(std::string text, ReadAt(fd, 0, size, writer->path_));
  text.resize(text.rfind('\n') + 1);  // npos + 1 == 0: no whole line
  writer->size_bytes_ = static_cast<int64_t>(text.size());
  if (ftruncate(fd, writer->size_bytes_) != 0) return ErrnoStatus("cannot truncate", writer->path_);
  writer->last_sequence_ = LastSequence(text);
  return writer;
}

absl::Status EventWriter::Append(v1::Event event) {
  event.set_sequence(last_sequence_ + 1);
  if (!event.has_time()) *event.mutable_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  const std::string line = EncodeEventLine(event) + "\n";
  const absl::Status status = WriteAll(fd_, line, path_);
  if (!status.ok()) {
    (void)!ftruncate(fd_,
                     size_bytes_);  // drops a part of the line; the error that counts is the first
    return status;
  }
  size_bytes_ += static_cast<int64_t>(line.size());
  ++last_sequence_;
  return absl::OkStatus();
}

absl::StatusOr<EventLines> ReadEventLines(const std::string& run_directory, int64_t offset) {
  EventLines result = {.lines = {}, .next_offset = offset};
  const std::string path = InDirectory(run_directory, kEventsFile);
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return result;
  if (file.get() < 0) return ErrnoStatus("cannot open", path);
  TUNESMITH_ASSIGN_OR_RETURN(result.next_offset, OffsetIn(file.get(), offset, path));
  auto text = ReadAt(file.get(), result.next_offset, kReadBytes, path);
  if (text.ok() && static_cast<int64_t>(text->size()) == kReadBytes &&
      text->find('\n') == std::string::npos) {
    const auto size = FileSize(file.get(), path);
    if (size.ok()) text = ReadAt(file.get(), result.next_offset, *size - result.next_offset, path);
  }
  TUNESMITH_RETURN_IF_ERROR(text.status());
  text->resize(text->rfind('\n') + 1);
  result.next_offset += static_cast<int64_t>(text->size());
  result.lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  return result;
}

}  // namespace tunesmith::convert
