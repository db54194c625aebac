#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/dtype.h"
#include "common/file.h"

// The safetensors format: 8 bytes little-endian length of a JSON header, the header, then the
// tensors' bytes without holes. Reading is thread-safe.
namespace tunesmith {

struct SafetensorsTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // row-major; empty for a scalar
  int64_t begin_bytes = 0;     // offset in the file
  int64_t byte_count = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // by name
  std::map<std::string, std::string> metadata;
};

// Parses and checks the header of a whole file. INVALID_ARGUMENT names `what`, the tensor and what
// is wrong: a bad length, no JSON, an unknown dtype, a size that contradicts dtype and shape, a
// name that occurs twice, a hole, an overlap, a truncated file.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view file,
                                                         std::string_view what);

// One mapped file.
class SafetensorsFile {
 public:
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const SafetensorsHeader& header() const { return header_; }
  // nullptr where there is no such tensor.
  const SafetensorsTensor* Find(std::string_view name) const;
  // The elements of one of this file's tensors, valid as long as this object; at any alignment.
  std::string_view Bytes(const SafetensorsTensor& tensor) const;

 private:
  SafetensorsFile(MappedFile file, SafetensorsHeader header);

  MappedFile file_;
  SafetensorsHeader header_;
};

// The weights of a Hugging Face directory: model.safetensors, or the files that
// model.safetensors.index.json names.
class SafetensorsDirectory {
 public:
  struct Entry {
    const SafetensorsFile* file = nullptr;
    const SafetensorsTensor* tensor = nullptr;
    std::string_view Bytes() const { return file->Bytes(*tensor); }
    void Release() const { MappedFile::Release(Bytes()); }  // after it was read
  };

  // NOT_FOUND when neither file is there. INVALID_ARGUMENT also when the index names a tensor that
  // its file lacks, or two files hold one name.
  static absl::StatusOr<SafetensorsDirectory> Open(const std::string& directory);

  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }

 private:
  absl::Status AddFile(const std::string& path);
  absl::Status OpenShards(const std::string& directory, const std::string& index_path);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, Entry, std::less<>> entries_;
};

// Writes a file tensor by tensor: data begin at a multiple of 64 bytes, the metadata are {"format":
// "pt"} and what is added, the file appears when committed (common/file.h).
class SafetensorsWriter {
 public:
  struct Declaration {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<int64_t> shape;
  };

  // Writes the header. INVALID_ARGUMENT for a name that occurs twice or a shape that is not a size.
  static absl::StatusOr<SafetensorsWriter> Create(
      const std::string& path, std::vector<Declaration> declarations,
      const std::map<std::string, std::string>& added_metadata = {});

  // The order in which the tensors must be written: larger elements first, then by name.
  const std::vector<Declaration>& order() const { return order_; }

  // The next bytes of tensor `name`, in pieces of any size. FAILED_PRECONDITION when it is not that
  // tensor's turn or too many bytes came.
  absl::Status Write(std::string_view name, std::string_view bytes);

  // FAILED_PRECONDITION when bytes are missing.
  absl::Status Commit();

 private:
  SafetensorsWriter(AtomicFileWriter file, std::vector<Declaration> order)
      : file_(std::move(file)), order_(std::move(order)) {}
  void SkipFinished();

  AtomicFileWriter file_;
  std::vector<Declaration> order_;
  size_t next_ = 0;            // the tensor being written
  int64_t written_bytes_ = 0;  // of that tensor
};

}  // namespace tunesmith
