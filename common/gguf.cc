#include "common/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "common/dtype.h"
#include "common/float_conversion.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int64_t kDefaultAlignmentBytes = 32;
constexpr uint32_t kMaxDims = 4;  // GGML_MAX_DIMS

// Types of metadata values, with the format's numbers.
enum class ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// Reads the header front to back and never beyond the end.
class Cursor {
 public:
  Cursor(std::string_view file, std::string_view what) : file_(file), what_(what) {}

  std::string_view what() const { return what_; }
  int64_t position() const { return static_cast<int64_t>(position_); }
  int64_t remaining_bytes() const { return static_cast<int64_t>(file_.size() - position_); }

  absl::Status Error(std::string_view reason) const {
    return absl::InvalidArgumentError(
        StrCat(what_, ": at byte ", position_, ": ", reason, "; the file is damaged or not GGUF"));
  }

  template <typename T>
  absl::StatusOr<T> Read() {
    T value;
    if (file_.size() - position_ < sizeof(T)) return Error("truncated");
    std::memcpy(&value, file_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  // A count of things that take at least `item_bytes` each in what is left of the file, so that it
  // can be reserved safely.
  absl::StatusOr<int64_t> ReadCount(int64_t item_bytes, std::string_view of_what) {
    TUNESMITH_ASSIGN_OR_RETURN(const uint64_t count, Read<uint64_t>());
    if (count > static_cast<uint64_t>(remaining_bytes() / item_bytes)) {
      return Error(
          StrCat("truncated: ", count, " ", of_what, " do not fit in the rest of the file"));
    }
    return static_cast<int64_t>(count);
  }

  absl::StatusOr<std::string> ReadString() {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t length, ReadCount(1, "bytes of a string"));
    std::string text(file_.substr(position_, static_cast<size_t>(length)));
    position_ += static_cast<size_t>(length);
    return text;
  }

 private:
  std::string_view file_;
  std::string_view what_;
  size_t position_ = 0;
};

template <typename T>
absl::StatusOr<int64_t> ReadInteger(Cursor& cursor) {
  TUNESMITH_ASSIGN_OR_RETURN(const T value, cursor.Read<T>());
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return cursor.Error(StrCat("the integer ", value, " has more than 63 bits"));
    }
  }
  return static_cast<int64_t>(value);
}

template <typename T>
absl::StatusOr<double> ReadNumber(Cursor& cursor) {
  TUNESMITH_ASSIGN_OR_RETURN(const T value, cursor.Read<T>());
  return static_cast<double>(value);
}

absl::StatusOr<bool> ReadBool(Cursor& cursor) {
  TUNESMITH_ASSIGN_OR_RETURN(const uint8_t value, cursor.Read<uint8_t>());
  if (value > 1)
    return cursor.Error(StrCat("the bool ", static_cast<int>(value), " is neither 0 nor 1"));
  return value == 1;
}

// One value with `read`, or an array of `count` of them.
template <typename T, typename Read>
absl::StatusOr<GgufValue> ReadOneOrMany(std::optional<int64_t> count, const Read& read) {
  if (!count.has_value()) {
    TUNESMITH_ASSIGN_OR_RETURN(auto value, read());
    return GgufValue(std::move(value));
  }
  std::vector<T> values;
  values.reserve(static_cast<size_t>(*count));
  for (int64_t i = 0; i < *count; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(T value, read());
    values.push_back(std::move(value));
  }
  return GgufValue(std::move(values));
}

absl::StatusOr<GgufValue> ReadValue(Cursor& cursor, ValueType type, std::optional<int64_t> count) {
  const auto integer = [&](auto read) {
    return ReadOneOrMany<int64_t>(count, [&] { return read(cursor); });
  };
  const auto number = [&](auto read) {
    return ReadOneOrMany<double>(count, [&] { return read(cursor); });
  };
  switch (type) {
    case ValueType::kU8:
      return integer(ReadInteger<uint8_t>);
    case ValueType::kI8:
      return integer(ReadInteger<int8_t>);
    case ValueType::kU16:
      return integer(ReadInteger<uint16_t>);
    case ValueType::kI16:
      return integer(ReadInteger<int16_t>);
    case ValueType::kU32:
      return integer(ReadInteger<uint32_t>);
    case ValueType::kI32:
      return integer(ReadInteger<int32_t>);
    case ValueType::kU64:
      return integer(ReadInteger<uint64_t>);
    case ValueType::kI64:
      return integer(ReadInteger<int64_t>);
    case ValueType::kF32:
      return number(ReadNumber<float>);
    case ValueType::kF64:
      return number(ReadNumber<double>);
    case ValueType::kBool:
      return ReadOneOrMany<int64_t>(count, [&] { return ReadBool(cursor); });
    case ValueType::kString:
      return ReadOneOrMany<std::string>(count, [&] { return cursor.ReadString(); });
    case ValueType::kArray:
      break;
  }
  return cursor.Error(StrCat("value type ", static_cast<uint32_t>(type), " is not known here"));
}

// The fewest bytes that a value of `type` takes.
int64_t LeastBytes(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    default:
      return 8;
  }
}

absl::StatusOr<GgufValue> ReadTypedValue(Cursor& cursor) {
  TUNESMITH_ASSIGN_OR_RETURN(const uint32_t type, cursor.Read<uint32_t>());
  if (static_cast<ValueType>(type) != ValueType::kArray) {
    return ReadValue(cursor, static_cast<ValueType>(type), std::nullopt);
  }
  TUNESMITH_ASSIGN_OR_RETURN(const uint32_t element_type, cursor.Read<uint32_t>());
  const auto element = static_cast<ValueType>(element_type);
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t count,
                             cursor.ReadCount(LeastBytes(element), "elements of an array"));
  return ReadValue(cursor, element, count);
}

absl::Status ReadValues(Cursor& cursor, int64_t count, GgufHeader* header) {
  for (int64_t i = 0; i < count; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(std::string key, cursor.ReadString());
    TUNESMITH_ASSIGN_OR_RETURN(GgufValue value, ReadTypedValue(cursor));
    if (!header->values.emplace(key, std::move(value)).second) {
      return cursor.Error(StrCat("the key ", key, " occurs twice"));
    }
  }
  return absl::OkStatus();
}

bool IsKnownType(uint32_t type) {
  constexpr GgmlType kKnown[] = {GgmlType::kF32,  GgmlType::kF16,  GgmlType::kQ4_0,
                                 GgmlType::kQ4_1, GgmlType::kQ8_0, GgmlType::kBF16};
  return std::find(std::begin(kKnown), std::end(kKnown), static_cast<GgmlType>(type)) !=
         std::end(kKnown);
}

// Bytes of a tensor whose rows are whole blocks.
absl::StatusOr<int64_t> TensorBytes(const GgufTensor& tensor) {
  const int64_t block = BlockElementCount(tensor.type);
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % block != 0) {
    return absl::InvalidArgumentError(
        StrCat("rows of ", row, " elements are not whole blocks of ", block));
  }
  int64_t bytes = BlockBytes(tensor.type);
  TUNESMITH_ASSIGN_OR_RETURN(bytes, CheckedMultiply(bytes, row / block, "dims"));
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(bytes, CheckedMultiply(bytes, tensor.shape[i], "dims"));
  }
  return bytes;
}

// begin_bytes of the result is relative to the data still.
absl::StatusOr<GgufTensor> ReadTensor(Cursor& cursor, int64_t alignment_bytes) {
  GgufTensor tensor;
  TUNESMITH_ASSIGN_OR_RETURN(tensor.name, cursor.ReadString());
  const auto error = [&](const auto&... reason) {
    return cursor.Error(StrCat("tensor ", tensor.name, ": ", reason...));
  };
  TUNESMITH_ASSIGN_OR_RETURN(const uint32_t dims, cursor.Read<uint32_t>());
  if (dims > kMaxDims) return error(dims, " dims, at most ", kMaxDims, " are possible");
  for (uint32_t i = 0; i < dims; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t size, ReadInteger<uint64_t>(cursor));
    if (size == 0) return error("a dim is 0");
    tensor.shape.insert(tensor.shape.begin(), size);
  }
  TUNESMITH_ASSIGN_OR_RETURN(const uint32_t type, cursor.Read<uint32_t>());
  if (!IsKnownType(type)) {
    return absl::UnimplementedError(
        StrCat(cursor.what(), ": tensor ", tensor.name, " has ggml type ", type,
               "; only F32, F16, BF16, Q8_0, Q4_0 and Q4_1 are read: take a file in one of them"));
  }
  tensor.type = static_cast<GgmlType>(type);
  TUNESMITH_ASSIGN_OR_RETURN(tensor.begin_bytes, ReadInteger<uint64_t>(cursor));
  if (tensor.begin_bytes % alignment_bytes != 0) {
    return error("its offset ", tensor.begin_bytes, " is not a multiple of ", alignment_bytes);
  }
  const absl::StatusOr<int64_t> bytes = TensorBytes(tensor);
  if (!bytes.ok()) return error(bytes.status().message());
  tensor.byte_count = *bytes;
  return tensor;
}

// Makes begin_bytes count from the start of the file; tensors must lie inside it and apart from
// each other.
absl::Status PlaceTensors(const Cursor& cursor, int64_t data_begin, int64_t file_bytes,
                          std::vector<GgufTensor>* tensors) {
  std::sort(tensors->begin(), tensors->end(),
            [](const auto& a, const auto& b) { return a.begin_bytes < b.begin_bytes; });
  int64_t end = 0;
  for (GgufTensor& tensor : *tensors) {
    if (tensor.begin_bytes < end) {
      return cursor.Error(StrCat("tensor ", tensor.name, " at data byte ", tensor.begin_bytes,
                                 " overlaps the one before, which ends at ", end));
    }
    const int64_t available = file_bytes - data_begin;
    if (tensor.begin_bytes > available || tensor.byte_count > available - tensor.begin_bytes) {
      return cursor.Error(StrCat("truncated: tensor ", tensor.name, " has ", tensor.byte_count,
                                 " bytes from data byte ", tensor.begin_bytes, ", the data have ",
                                 std::max<int64_t>(available, 0)));
    }
    end = tensor.begin_bytes + tensor.byte_count;
    tensor.begin_bytes += data_begin;
  }
  return absl::OkStatus();
}

absl::Status SortByName(const Cursor& cursor, std::vector<GgufTensor>* tensors) {
  std::sort(tensors->begin(), tensors->end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(tensors->begin(), tensors->end(),
                         [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice == tensors->end()) return absl::OkStatus();
  return cursor.Error(StrCat("the tensor ", twice->name, " occurs twice"));
}

absl::Status ReadPreamble(Cursor& cursor, std::string_view file, std::string_view what) {
  if (file.substr(0, 4) != "GGUF") {
    return absl::InvalidArgumentError(
        StrCat(what, ": does not begin with \"GGUF\"; it is not a GGUF file"));
  }
  TUNESMITH_RETURN_IF_ERROR(cursor.Read<uint32_t>().status());
  TUNESMITH_ASSIGN_OR_RETURN(const uint32_t version, cursor.Read<uint32_t>());
  if (version == 2 || version == 3) return absl::OkStatus();
  return absl::UnimplementedError(StrCat(what, ": GGUF version ", version,
                                         (version & 0xffffu) == 0 ? " (a big-endian file)" : "",
                                         "; versions 2 and 3, little-endian, are read"));
}

absl::StatusOr<int64_t> Alignment(const GgufHeader& header) {
  if (!header.Has("general.alignment")) return kDefaultAlignmentBytes;
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t alignment, header.Integer("general.alignment"));
  if (alignment >= 1 && alignment <= kMiB && std::has_single_bit(static_cast<uint64_t>(alignment)))
    return alignment;
  return absl::InvalidArgumentError(
      StrCat(header.what, ": general.alignment ", alignment, " is not a power of two up to 1 MiB"));
}

// Blocks of 32 elements (ggml-common.h). Low nibbles are elements 0-15, high nibbles 16-31.
constexpr int64_t kQuantBlock = 32;

float ReadF16(const char* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  return FloatFromF16(bits);
}

void DequantizeQ8_0(const char* block, float* out) {
  const float scale = ReadF16(block);
  for (int64_t i = 0; i < kQuantBlock; ++i)
    out[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

// x = scale * (nibble + shift) + minimum, nibble in 0..15.
void DequantizeNibbles(const char* nibbles, float scale, int shift, float minimum, float* out) {
  for (int64_t i = 0; i < kQuantBlock / 2; ++i) {
    const auto byte = static_cast<uint8_t>(nibbles[i]);
    out[i] = scale * static_cast<float>((byte & 0xf) + shift) + minimum;
    out[i + kQuantBlock / 2] = scale * static_cast<float>((byte >> 4) + shift) + minimum;
  }
}

void DequantizeQ4_0(const char* block, float* out) {
  DequantizeNibbles(block + 2, ReadF16(block), -8, 0.0f, out);
}

void DequantizeQ4_1(const char* block, float* out) {
  DequantizeNibbles(block + 4, ReadF16(block), 0, ReadF16(block + 2), out);
}

template <void (*kBlock)(const char*, float*)>
void DequantizeBlocks(GgmlType type, const char* bytes, absl::Span<float> out) {
  const auto block_bytes = static_cast<size_t>(BlockBytes(type));
  for (size_t i = 0; i < out.size() / kQuantBlock; ++i)
    kBlock(bytes + i * block_bytes, out.data() + i * kQuantBlock);
}

}  // namespace

int64_t BlockElementCount(GgmlType type) {
  return type == GgmlType::kQ4_0 || type == GgmlType::kQ4_1 || type == GgmlType::kQ8_0 ? kQuantBlock
                                                                                       : 1;
}

int64_t BlockBytes(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return 4;
    case GgmlType::kF16:
    case GgmlType::kBF16:
      return 2;
    case GgmlType::kQ4_0:
      return 18;
    case GgmlType::kQ4_1:
      return 20;
    case GgmlType::kQ8_0:
      return 34;
  }
  return 0;
}

int64_t GgufTensor::ElementCount() const {
  return byte_count / BlockBytes(type) * BlockElementCount(type);
}

template <typename T>
absl::StatusOr<const T*> GgufHeader::Find(std::string_view key) const {
  const auto at = values.find(key);
  if (at == values.end())
    return absl::InvalidArgumentError(StrCat(what, ": the metadata key ", key, " is missing"));
  const T* value = std::get_if<T>(&at->second);
  if (value == nullptr)
    return absl::InvalidArgumentError(
        StrCat(what, ": the metadata key ", key, " has another type than expected"));
  return value;
}

template absl::StatusOr<const bool*> GgufHeader::Find<bool>(std::string_view) const;
template absl::StatusOr<const int64_t*> GgufHeader::Find<int64_t>(std::string_view) const;
template absl::StatusOr<const double*> GgufHeader::Find<double>(std::string_view) const;
template absl::StatusOr<const std::string*> GgufHeader::Find<std::string>(std::string_view) const;
template absl::StatusOr<const std::vector<int64_t>*> GgufHeader::Find<std::vector<int64_t>>(
    std::string_view) const;
template absl::StatusOr<const std::vector<double>*> GgufHeader::Find<std::vector<double>>(
    std::string_view) const;
template absl::StatusOr<const std::vector<std::string>*> GgufHeader::Find<std::vector<std::string>>(
    std::string_view) const;

absl::StatusOr<int64_t> GgufHeader::Integer(std::string_view key) const {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t* value, Find<int64_t>(key));
  return *value;
}

absl::StatusOr<double> GgufHeader::Number(std::string_view key) const {
  if (const auto integer = Find<int64_t>(key); integer.ok()) return static_cast<double>(**integer);
  TUNESMITH_ASSIGN_OR_RETURN(const double* value, Find<double>(key));
  return *value;
}

absl::StatusOr<std::string> GgufHeader::String(std::string_view key) const {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string* value, Find<std::string>(key));
  return *value;
}

const GgufTensor* GgufHeader::FindTensor(std::string_view name) const {
  const auto at = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const GgufTensor& tensor, std::string_view key) { return tensor.name < key; });
  return at != tensors.end() && at->name == name ? &*at : nullptr;
}

absl::StatusOr<GgufHeader> ParseGgufHeader(std::string_view file, std::string_view what) {
  constexpr int64_t kLeastTensorBytes = 8 + 4 + 4 + 8;
  constexpr int64_t kLeastValueBytes = 8 + 4 + 1;
  GgufHeader header;
  header.what = what;
  Cursor cursor(file, what);
  TUNESMITH_RETURN_IF_ERROR(ReadPreamble(cursor, file, what));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t tensor_count,
                             cursor.ReadCount(kLeastTensorBytes, "tensors"));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t value_count,
                             cursor.ReadCount(kLeastValueBytes, "metadata values"));
  TUNESMITH_RETURN_IF_ERROR(ReadValues(cursor, value_count, &header));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t alignment, Alignment(header));
  for (int64_t i = 0; i < tensor_count; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(GgufTensor tensor, ReadTensor(cursor, alignment));
    header.tensors.push_back(std::move(tensor));
  }
  const int64_t data_begin = AlignUp(cursor.position(), alignment);
  TUNESMITH_RETURN_IF_ERROR(
      PlaceTensors(cursor, data_begin, static_cast<int64_t>(file.size()), &header.tensors));
  TUNESMITH_RETURN_IF_ERROR(SortByName(cursor, &header.tensors));
  return header;
}

void Dequantize(GgmlType type, std::string_view bytes, absl::Span<float> out) {
  switch (type) {
    case GgmlType::kF32:
      return FloatsFromBytes(DType::kF32, bytes, out)
          .IgnoreError();  // cannot fail for these dtypes
    case GgmlType::kF16:
      return FloatsFromBytes(DType::kF16, bytes, out).IgnoreError();
    case GgmlType::kBF16:
      return FloatsFromBytes(DType::kBF16, bytes, out).IgnoreError();
    case GgmlType::kQ4_0:
      return DequantizeBlocks<DequantizeQ4_0>(type, bytes.data(), out);
    case GgmlType::kQ4_1:
      return DequantizeBlocks<DequantizeQ4_1>(type, bytes.data(), out);
    case GgmlType::kQ8_0:
      return DequantizeBlocks<DequantizeQ8_0>(type, bytes.data(), out);
  }
}

absl::StatusOr<GgufFile> GgufFile::Open(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  TUNESMITH_ASSIGN_OR_RETURN(GgufHeader header, ParseGgufHeader(file.bytes(), path));
  return GgufFile(std::move(file), std::move(header));
}

}  // namespace tunesmith
