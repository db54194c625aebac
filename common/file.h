#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Files as the project reads and writes them. Every error names the path, what was tried and the
// cure; its code says what to do: NOT_FOUND, PERMISSION_DENIED (also a read-only file system),
// RESOURCE_EXHAUSTED (disk full or quota), INVALID_ARGUMENT (a directory where a file was
// expected), else UNAVAILABLE. A file appears under its final name complete and synced, or not at
// all.
namespace tunesmith {

// The whole contents.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces `path` by `contents`.
absl::Status WriteFileAtomically(const std::string& path, std::string_view contents);

// Appends `line` and a newline in one write, creating the file where it is absent. Not synced.
absl::Status AppendLine(const std::string& path, std::string_view line);

// Creates the directory and its parents where absent.
absl::Status MakeDirectories(const std::string& path);

// Streams a large file. Bytes go to a temporary name beside `path`; Commit() syncs and renames it.
// Destroyed without Commit(), it removes the temporary file. Move-only; one thread at a time.
class AtomicFileWriter {
 public:
  static absl::StatusOr<AtomicFileWriter> Open(const std::string& path);
  AtomicFileWriter(AtomicFileWriter&& other) noexcept;
  AtomicFileWriter& operator=(AtomicFileWriter&& other) noexcept;
  ~AtomicFileWriter();

  absl::Status Write(std::string_view bytes);
  absl::Status Commit();  // at most once; nothing may be written afterwards
  int64_t written_bytes() const { return written_bytes_; }
  const std::string& path() const { return path_; }

 private:
  AtomicFileWriter(std::string path, std::string temporary_path, int descriptor)
      : path_(std::move(path)),
        temporary_path_(std::move(temporary_path)),
        descriptor_(descriptor) {}
  void Discard();

  std::string path_;
  std::string temporary_path_;  // empty once committed or discarded
  int descriptor_ = -1;
  int64_t written_bytes_ = 0;
};

// A whole file, mapped read-only. Move-only. The bytes stay valid as long as this object; the file
// must not be truncated meanwhile.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Lets go of the memory of a part of bytes() that will not be read soon, whole pages of it: a file that is read once would else stay resident as
  // a whole. A later read takes it from the file again. Thread-safe.
  static void Release(std::string_view part);

 private:
  MappedFile(std::string path, std::string_view bytes) : path_(std::move(path)), bytes_(bytes) {}

  std::string path_;
  std::string_view bytes_;  // owned mapping; empty for an empty file
};

}  // namespace tunesmith
