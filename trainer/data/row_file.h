#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tunesmith::trainer {

// The lines of a file by number, read when they are asked for: what is kept of a file is where its lines begin, 8 bytes each. Move-only, thread-safe.
class RowFile {
 public:
  // Reads the file once, in pieces. Errors as ReadFile's.
  static absl::StatusOr<RowFile> Open(const std::string& path);
  RowFile(RowFile&& other) noexcept;
  RowFile& operator=(RowFile&& other) noexcept;
  ~RowFile();

  const std::string& path() const { return path_; }
  int64_t line_count() const { return static_cast<int64_t>(begins_.size()) - 1; }

  // Line `index`, from 0, without its line break. UNAVAILABLE: the file is shorter than when it was opened. REQUIRES: 0 <= index < line_count().
  absl::StatusOr<std::string> ReadLine(int64_t index) const;

 private:
  RowFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  absl::Status FindLines();
  absl::Status ReadAt(int64_t offset, std::string* bytes) const;

  std::string path_;
  int descriptor_ = -1;
  std::vector<int64_t> begins_;  // of each line, and the end of the file
};

}  // namespace tunesmith::trainer
