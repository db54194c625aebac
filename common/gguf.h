#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/file.h"

// The GGUF format, versions 2 and 3, little-endian, as ggml's documentation (docs/gguf.md)
// describes it. Reading is thread-safe.
namespace tunesmith {

// Tensor types that can be read, with ggml's numbers.
enum class GgmlType : uint32_t { kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ8_0 = 8, kBF16 = 30 };

// Elements and bytes of a block, the unit in which a type is stored (one element where it is not
// quantized).
int64_t BlockElementCount(GgmlType type);
int64_t BlockBytes(GgmlType type);

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> shape;  // row-major: the reverse of the file's dims
  int64_t begin_bytes = 0;     // offset in the file
  int64_t byte_count = 0;

  int64_t ElementCount() const;
};

// A metadata value. Integers of every width are int64_t; an array of bools or integers is a vector
// of int64_t.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>,
                               std::vector<double>, std::vector<std::string>>;

struct GgufHeader {
  std::string what;  // names the file in messages
  std::map<std::string, GgufValue, std::less<>> values;
  std::vector<GgufTensor> tensors;  // by name

  bool Has(std::string_view key) const { return values.find(key) != values.end(); }
  // The value of `key` as T, a type of GgufValue (double takes integers too). INVALID_ARGUMENT
  // naming the key when it is absent or of another type. Pointers and strings live as long as the
  // header.
  template <typename T>
  absl::StatusOr<const T*> Find(std::string_view key) const;
  absl::StatusOr<int64_t> Integer(std::string_view key) const;
  absl::StatusOr<double> Number(std::string_view key) const;
  absl::StatusOr<std::string> String(std::string_view key) const;
  // nullptr where there is no such tensor.
  const GgufTensor* FindTensor(std::string_view name) const;
};

// Parses and checks the header of a whole file. INVALID_ARGUMENT names `what`, the key or tensor
// and what is wrong: bad magic, truncation, misaligned or overlapping tensors, a size that does not
// fit; UNIMPLEMENTED names an unknown version or tensor type.
absl::StatusOr<GgufHeader> ParseGgufHeader(std::string_view file, std::string_view what);

// Fills `out` from blocks of `type`. REQUIRES: out.size() is a multiple of BlockElementCount(type)
// and `bytes` holds that many blocks.
void Dequantize(GgmlType type, std::string_view bytes, absl::Span<float> out);

// One mapped file.
class GgufFile {
 public:
  static absl::StatusOr<GgufFile> Open(const std::string& path);

  const GgufHeader& header() const { return header_; }
  // The stored blocks of one of this file's tensors, valid as long as this object.
  std::string_view Bytes(const GgufTensor& tensor) const {
    return file_.bytes().substr(static_cast<size_t>(tensor.begin_bytes),
                                static_cast<size_t>(tensor.byte_count));
  }
  void Release(const GgufTensor& tensor) const {
    MappedFile::Release(Bytes(tensor));
  }  // after it was read

 private:
  GgufFile(MappedFile file, GgufHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}

  MappedFile file_;
  GgufHeader header_;
};

}  // namespace tunesmith
