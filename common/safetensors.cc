#include "common/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little);

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference reader
constexpr int64_t kDataAlignmentBytes =
    64;  // of the first tensor, so that mapped f32 data suit vector loads

// Names of the format, in the order of DType.
constexpr std::array<std::string_view, kDTypeCount> kNames = {
    "F64", "F32", "BF16", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"};

std::optional<DType> DTypeFromFormatName(std::string_view name) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<DType>(at - kNames.begin());
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) absl::StrAppend(&text, text.size() > 1 ? ", " : "", size);
  return text + "]";
}

absl::StatusOr<int64_t> TensorBytes(DType dtype, const std::vector<int64_t>& shape) {
  int64_t bytes = SizeOf(dtype);
  for (const int64_t size : shape) {
    TUNESMITH_ASSIGN_OR_RETURN(bytes, CheckedMultiply(bytes, size, "shape"));
  }
  return bytes;
}

absl::Status Malformed(std::string_view what, std::string_view reason) {
  return absl::InvalidArgumentError(
      StrCat(what, ": ", reason, "; the file is damaged or not safetensors"));
}

absl::StatusOr<int64_t> HeaderLength(std::string_view file, std::string_view what) {
  if (file.size() < kLengthBytes)
    return Malformed(what, StrCat("truncated: ", file.size(), " bytes"));
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length < 2 || length > kMaxHeaderBytes) {
    return Malformed(what, StrCat("header length ", length, " is outside 2 to ", kMaxHeaderBytes));
  }
  if (length > file.size() - kLengthBytes) {
    return Malformed(
        what, StrCat("truncated: the header has ", length, " bytes, the file ", file.size()));
  }
  return static_cast<int64_t>(length);
}

// Offsets of the result are relative to the data still.
absl::StatusOr<SafetensorsTensor> ParseTensor(const std::string& name, const json& value,
                                              std::string_view what) {
  const std::string where = StrCat(what, ": tensor ", name);
  TUNESMITH_ASSIGN_OR_RETURN(const std::string dtype_name,
                             JsonField<std::string>(value, "dtype", where));
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<int64_t> shape,
                             JsonField<std::vector<int64_t>>(value, "shape", where));
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int64_t> offsets,
                             JsonField<std::vector<int64_t>>(value, "data_offsets", where));
  const std::optional<DType> dtype = DTypeFromFormatName(dtype_name);
  if (!dtype.has_value()) return Malformed(where, StrCat("dtype ", dtype_name, " is not known"));
  if (offsets.size() != 2 || offsets[0] < 0 || offsets[1] < offsets[0]) {
    return Malformed(where, StrCat("data_offsets ", ShapeText(offsets), " are not a range"));
  }
  const absl::StatusOr<int64_t> bytes = TensorBytes(*dtype, shape);
  if (!bytes.ok()) return Malformed(where, ToStd(bytes.status().message()));
  if (*bytes != offsets[1] - offsets[0]) {
    return Malformed(where, StrCat(dtype_name, " of shape ", ShapeText(shape), " needs ", *bytes,
                                   " bytes, data_offsets span ", offsets[1] - offsets[0]));
  }
  return SafetensorsTensor{name, *dtype, std::move(shape), offsets[0], *bytes};
}

// The tensors, in the order of their bytes, must fill the data exactly.
absl::Status CheckLayout(const std::vector<SafetensorsTensor>& tensors, int64_t data_bytes,
                         std::string_view what) {
  std::vector<const SafetensorsTensor*> order;
  for (const SafetensorsTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin_bytes, a->byte_count) < std::pair(b->begin_bytes, b->byte_count);
  });
  int64_t end = 0;
  for (const SafetensorsTensor* tensor : order) {
    if (tensor->begin_bytes != end) {
      return Malformed(
          what,
          StrCat("tensor ", tensor->name, " begins at data byte ", tensor->begin_bytes, ", ",
                 tensor->begin_bytes > end ? "a hole after" : "an overlap before", " byte ", end));
    }
    end += tensor->byte_count;
    if (end > data_bytes) {
      return Malformed(what, StrCat("truncated: tensor ", tensor->name, " ends at data byte ", end,
                                    ", the data have ", data_bytes));
    }
  }
  if (end == data_bytes) return absl::OkStatus();
  return Malformed(
      what, StrCat("a hole: the tensors end at data byte ", end, ", the data have ", data_bytes));
}

absl::Status ParseMetadata(const json& value, std::string_view what,
                           std::map<std::string, std::string>* metadata) {
  if (!value.is_object()) return Malformed(what, "__metadata__ is not an object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return Malformed(what, StrCat("__metadata__ ", key, " is not a string"));
    metadata->emplace(key, text.get<std::string>());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view file,
                                                         std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t length, HeaderLength(file, what));
  const std::string_view text = file.substr(kLengthBytes, static_cast<size_t>(length));
  if (text.front() != '{') return Malformed(what, "the header does not begin with '{'");
  TUNESMITH_ASSIGN_OR_RETURN(const json value,
                             ParseJsonWithUniqueKeys(text, StrCat(what, ": header")));
  SafetensorsHeader header;
  for (const auto& [name, tensor] : value.items()) {
    if (name == "__metadata__") {
      TUNESMITH_RETURN_IF_ERROR(ParseMetadata(tensor, what, &header.metadata));
      continue;
    }
    TUNESMITH_ASSIGN_OR_RETURN(SafetensorsTensor parsed, ParseTensor(name, tensor, what));
    header.tensors.push_back(std::move(parsed));
  }
  const int64_t data_begin = kLengthBytes + length;
  TUNESMITH_RETURN_IF_ERROR(
      CheckLayout(header.tensors, static_cast<int64_t>(file.size()) - data_begin, what));
  for (SafetensorsTensor& tensor : header.tensors) tensor.begin_bytes += data_begin;
  return header;  // json objects are ordered by name
}

SafetensorsFile::SafetensorsFile(MappedFile file, SafetensorsHeader header)
    : file_(std::move(file)), header_(std::move(header)) {}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsHeader header, ParseSafetensorsHeader(file.bytes(), path));
  return SafetensorsFile(std::move(file), std::move(header));
}

const SafetensorsTensor* SafetensorsFile::Find(std::string_view name) const {
  const auto at = std::lower_bound(
      header_.tensors.begin(), header_.tensors.end(), name,
      [](const SafetensorsTensor& tensor, std::string_view key) { return tensor.name < key; });
  return at != header_.tensors.end() && at->name == name ? &*at : nullptr;
}

std::string_view SafetensorsFile::Bytes(const SafetensorsTensor& tensor) const {
  return file_.bytes().substr(static_cast<size_t>(tensor.begin_bytes),
                              static_cast<size_t>(tensor.byte_count));
}

absl::StatusOr<SafetensorsDirectory> SafetensorsDirectory::Open(const std::string& directory) {
  SafetensorsDirectory result;
  const std::string single = StrCat(directory, "/model.safetensors");
  const std::string index = StrCat(directory, "/model.safetensors.index.json");
  if (std::filesystem::exists(single)) {
    TUNESMITH_RETURN_IF_ERROR(result.AddFile(single));
  } else if (std::filesystem::exists(index)) {
    TUNESMITH_RETURN_IF_ERROR(result.OpenShards(directory, index));
  } else {
    return absl::NotFoundError(
        StrCat(directory, " holds neither model.safetensors nor model.safetensors.index.json; ",
               "download the weights in safetensors format"));
  }
  return result;
}

absl::Status SafetensorsDirectory::AddFile(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsFile opened, SafetensorsFile::Open(path));
  files_.push_back(std::make_unique<SafetensorsFile>(std::move(opened)));
  const SafetensorsFile* file = files_.back().get();
  for (const SafetensorsTensor& tensor : file->header().tensors) {
    if (!entries_.emplace(tensor.name, Entry{file, &tensor}).second) {
      return absl::InvalidArgumentError(
          StrCat(path, ": tensor ", tensor.name, " is in another shard too"));
    }
  }
  return absl::OkStatus();
}

absl::Status SafetensorsDirectory::OpenShards(const std::string& directory,
                                              const std::string& index_path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(index_path));
  TUNESMITH_ASSIGN_OR_RETURN(const json index, ParseJsonWithUniqueKeys(text, index_path));
  TUNESMITH_ASSIGN_OR_RETURN(const json* weight_map, JsonObject(index, "weight_map", index_path));
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map->items()) {
    TUNESMITH_ASSIGN_OR_RETURN(std::string file,
                               JsonField<std::string>(*weight_map, name, index_path));
    if (file.empty() || file.find('/') != std::string::npos) {
      return absl::InvalidArgumentError(
          StrCat(index_path, ": \"", file, "\" is not a file name in the same directory"));
    }
    shards.insert(std::move(file));
  }
  for (const std::string& shard : shards)
    TUNESMITH_RETURN_IF_ERROR(AddFile(StrCat(directory, "/", shard)));
  for (const auto& [name, shard] : weight_map->items()) {
    if (entries_.find(name) == entries_.end()) {
      return absl::InvalidArgumentError(StrCat(index_path, ": tensor ", name, " is not in ",
                                               shard.get<std::string>(),
                                               "; download that file again"));
    }
  }
  return absl::OkStatus();
}

namespace {

// The header, padded so that the data begin aligned.
absl::StatusOr<std::string> FormatHeader(const std::vector<SafetensorsWriter::Declaration>& order,
                                         const std::map<std::string, std::string>& added_metadata) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  header["__metadata__"].update(json(added_metadata));
  int64_t begin = 0;
  for (const SafetensorsWriter::Declaration& tensor : order) {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t bytes, TensorBytes(tensor.dtype, tensor.shape));
    if (header.contains(tensor.name)) {
      return absl::InvalidArgumentError(StrCat("tensor ", tensor.name, " is declared twice"));
    }
    header[tensor.name] = {{"dtype", kNames[static_cast<size_t>(tensor.dtype)]},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, begin + bytes}}};
    begin += bytes;
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  const int64_t unpadded = kLengthBytes + static_cast<int64_t>(text.size());
  text.append(static_cast<size_t>(AlignUp(unpadded, kDataAlignmentBytes) - unpadded), ' ');
  return text;
}

}  // namespace

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Create(
    const std::string& path, std::vector<Declaration> declarations,
    const std::map<std::string, std::string>& added_metadata) {
  std::sort(declarations.begin(), declarations.end(),
            [](const Declaration& a, const Declaration& b) {
              return std::tuple(-SizeOf(a.dtype), a.name) < std::tuple(-SizeOf(b.dtype), b.name);
            });
  TUNESMITH_ASSIGN_OR_RETURN(const std::string header, FormatHeader(declarations, added_metadata));
  TUNESMITH_ASSIGN_OR_RETURN(AtomicFileWriter file, AtomicFileWriter::Open(path));
  const uint64_t length = header.size();
  TUNESMITH_RETURN_IF_ERROR(file.Write({reinterpret_cast<const char*>(&length), kLengthBytes}));
  TUNESMITH_RETURN_IF_ERROR(file.Write(header));
  return SafetensorsWriter(std::move(file), std::move(declarations));
}

void SafetensorsWriter::SkipFinished() {
  while (next_ < order_.size() &&
         written_bytes_ == *TensorBytes(order_[next_].dtype, order_[next_].shape)) {
    ++next_;
    written_bytes_ = 0;
  }
}

absl::Status SafetensorsWriter::Write(std::string_view name, std::string_view bytes) {
  if (bytes.empty()) return absl::OkStatus();
  SkipFinished();
  if (next_ == order_.size() || order_[next_].name != name) {
    return absl::FailedPreconditionError(
        StrCat(file_.path(), ": tensor ", name, " came where ",
               next_ == order_.size() ? "the end" : std::string_view(order_[next_].name),
               " was expected"));
  }
  const int64_t missing = *TensorBytes(order_[next_].dtype, order_[next_].shape) - written_bytes_;
  if (static_cast<int64_t>(bytes.size()) > missing) {
    return absl::FailedPreconditionError(StrCat(file_.path(), ": tensor ", name, " got ",
                                                bytes.size(), " bytes where ", missing,
                                                " were missing"));
  }
  TUNESMITH_RETURN_IF_ERROR(file_.Write(bytes));
  written_bytes_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Commit() {
  SkipFinished();
  if (next_ != order_.size()) {
    return absl::FailedPreconditionError(StrCat(file_.path(), ": tensor ", order_[next_].name,
                                                " is incomplete: ", written_bytes_,
                                                " bytes were written"));
  }
  return file_.Commit();
}

}  // namespace tunesmith
