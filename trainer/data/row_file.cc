#include "trainer/data/row_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kPieceBytes = int64_t{4} << 20;

}  // namespace

RowFile::RowFile(RowFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      begins_(std::move(other.begins_)) {}

RowFile& RowFile::operator=(RowFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(begins_, other.begins_);
  return *this;
}

RowFile::~RowFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<RowFile> RowFile::Open(const std::string& path) {
  // Says what is wrong with a path as every other reader of files does.
  TUNESMITH_RETURN_IF_ERROR(MappedFile::Open(path).status());
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, StrCat("cannot open ", path));
  RowFile file(path, descriptor);
  TUNESMITH_RETURN_IF_ERROR(file.FindLines());
  return file;
}

absl::Status RowFile::FindLines() {
  struct stat status = {};
  if (fstat(descriptor_, &status) != 0)
    return absl::ErrnoToStatus(errno, StrCat("cannot look at ", path_));
  const int64_t size = status.st_size;
  begins_.push_back(0);
  std::string piece;
  for (int64_t offset = 0; offset < size; offset += kPieceBytes) {
    piece.resize(static_cast<size_t>(std::min(kPieceBytes, size - offset)));
    TUNESMITH_RETURN_IF_ERROR(ReadAt(offset, &piece));
    for (size_t at = piece.find('\n'); at != std::string::npos; at = piece.find('\n', at + 1))
      begins_.push_back(offset + static_cast<int64_t>(at) + 1);
  }
  if (begins_.back() != size) begins_.push_back(size);
  return absl::OkStatus();
}

absl::Status RowFile::ReadAt(int64_t offset, std::string* bytes) const {
  size_t done = 0;
  while (done < bytes->size()) {
    const ssize_t count = pread(descriptor_, bytes->data() + done, bytes->size() - done,
                                offset + static_cast<int64_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return absl::ErrnoToStatus(errno, StrCat("cannot read ", path_));
    if (count == 0)
      return absl::UnavailableError(
          StrCat(path_,
                 ": the file has become shorter while it was in use; keep data sets as "
                 "they are while a job runs"));
    done += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RowFile::ReadLine(int64_t index) const {
  const auto at = static_cast<size_t>(index);
  std::string line(static_cast<size_t>(begins_[at + 1] - begins_[at]), '\0');
  TUNESMITH_RETURN_IF_ERROR(ReadAt(begins_[at], &line));
  if (line.ends_with('\n')) line.pop_back();
  return line;
}

}  // namespace tunesmith::trainer
