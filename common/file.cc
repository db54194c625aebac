#include "common/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/descriptor.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/sync_directory.h"

namespace tunesmith {
namespace {

// "cannot <verb> <path>: <reason>; <cure>", with the code that tells the caller what to do.
absl::Status FileError(std::string_view verb, std::string_view path, int error) {
  const auto message = [&](std::string_view cure) {
    return StrCat("cannot ", verb, " ", path, ": ", std::strerror(error), cure);
  };
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message("; check the path"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          message("; change its permissions or choose another path"));
    case EROFS:
      return absl::PermissionDeniedError(message("; choose a path on a writable file system"));
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(
          message("; free space there or choose a path on another file system"));
    case EISDIR:
      return absl::InvalidArgumentError(message("; name a file"));
    default:
      return absl::UnavailableError(message(""));
  }
}

// Writes everything, however often the kernel takes only a part; returns 0 or errno.
int WriteFully(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return 0;
}

std::string ParentDirectory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// Opens a regular file for reading and returns its size; what is not a regular file is refused (a
// pipe would block, a directory cannot be read).
absl::StatusOr<int64_t> RegularFileSize(int descriptor, const std::string& path) {
  struct stat info = {};
  if (::fstat(descriptor, &info) != 0) return FileError("read", path, errno);
  if (S_ISDIR(info.st_mode)) return FileError("read", path, EISDIR);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(StrCat("cannot read ", path, ": not a regular file"));
  }
  return static_cast<int64_t>(info.st_size);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return FileError("read", path, errno);
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t size, RegularFileSize(file.get(), path));
  std::string contents(static_cast<size_t>(size), '\0');
  size_t filled = 0;
  while (true) {  // a file of /proc says size 0, a growing one says too little: read until the end
    if (filled == contents.size()) contents.resize(filled + 4096);
    const ssize_t count = ::read(file.get(), contents.data() + filled, contents.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError("read", path, errno);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  contents.resize(filled);
  return contents;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view contents) {
  TUNESMITH_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::Open(path));
  TUNESMITH_RETURN_IF_ERROR(writer.Write(contents));
  return writer.Commit();
}

absl::Status AppendLine(const std::string& path, std::string_view line) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
  if (file.get() < 0) return FileError("append to", path, errno);
  const int error = WriteFully(file.get(), StrCat(line, "\n"));
  return error == 0 ? absl::OkStatus() : FileError("append to", path, error);
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? FileError("create directory", path, error.value()) : absl::OkStatus();
}

absl::StatusOr<AtomicFileWriter> AtomicFileWriter::Open(const std::string& path) {
  static std::atomic<int64_t> counter = 0;
  if (std::filesystem::path(path).filename().empty()) return FileError("write", path, EISDIR);
  while (
      true) {  // O_EXCL: another process, or another host on a shared file system, may use the name
    std::string temporary = StrCat(path, ".", ::getpid(), "-", counter.fetch_add(1), ".tmp");
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) return AtomicFileWriter(path, std::move(temporary), descriptor);
    if (errno != EEXIST) return FileError("write", path, errno);
  }
}

AtomicFileWriter::AtomicFileWriter(AtomicFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_path_(std::exchange(other.temporary_path_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      written_bytes_(other.written_bytes_) {}

AtomicFileWriter& AtomicFileWriter::operator=(AtomicFileWriter&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  path_ = std::move(other.path_);
  temporary_path_ = std::exchange(other.temporary_path_, {});
  descriptor_ = std::exchange(other.descriptor_, -1);
  written_bytes_ = other.written_bytes_;
  return *this;
}

AtomicFileWriter::~AtomicFileWriter() { Discard(); }

void AtomicFileWriter::Discard() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  if (!temporary_path_.empty()) ::unlink(std::exchange(temporary_path_, {}).c_str());
}

absl::Status AtomicFileWriter::Write(std::string_view bytes) {
  if (descriptor_ < 0) {
    return absl::FailedPreconditionError(StrCat(path_, " is already committed"));
  }
  if (const int error = WriteFully(descriptor_, bytes); error != 0) {
    return FileError(StrCat("write ", bytes.size(), " bytes after byte ", written_bytes_, " of"),
                     path_, error);
  }
  written_bytes_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status AtomicFileWriter::Commit() {
  const std::string verb = StrCat("finish writing ", written_bytes_, " bytes of");
  const Descriptor file(std::exchange(descriptor_, -1));
  if (file.get() < 0) {
    return absl::FailedPreconditionError(StrCat(path_, " is already committed"));
  }
  if (::fsync(file.get()) != 0) return FileError(verb, path_, errno);
  if (::rename(temporary_path_.c_str(), path_.c_str()) != 0) return FileError(verb, path_, errno);
  temporary_path_.clear();
  return SyncDirectory(ParentDirectory(path_));
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return FileError("read", path, errno);
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t size, RegularFileSize(file.get(), path));
  if (size == 0) return MappedFile(path, {});
  void* data = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return FileError("map", path, errno);
  return MappedFile(path, {static_cast<const char*>(data), static_cast<size_t>(size)});
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void MappedFile::Release(std::string_view part) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t first = (begin + page - 1) / page * page,
                  end = (begin + part.size()) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

}  // namespace tunesmith
