#include "trainer/model_io/nf4_tensors.h"

#include <cstring>
#include <utility>

#include "absl/types/span.h"
#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "planner/program/op.h"

namespace tunesmith::trainer {
namespace {

using Entry = SafetensorsDirectory::Entry;
using nlohmann::json;

constexpr std::string_view kState = ".quant_state.bitsandbytes__";
constexpr const char* kParts[] = {".absmax", ".nested_absmax", ".quant_map", ".nested_quant_map"};

// Finds the tensors that lie beside one matrix.
class Parts {
 public:
  Parts(const SafetensorsDirectory& files, const std::string& name, std::string where)
      : files_(files), name_(name), where_(std::move(where)) {}

  // With the dtype and so many elements.
  absl::StatusOr<Entry> Find(std::string_view part, DType dtype, int64_t count) const {
    const auto found = files_.entries().find(StrCat(name_, part));
    if (found == files_.entries().end())
      return absl::InvalidArgumentError(StrCat(where_, ": tensor ", name_, part, " is missing"));
    const SafetensorsTensor& tensor = *found->second.tensor;
    if (tensor.dtype == dtype && tensor.byte_count == count * SizeOf(dtype)) return found->second;
    return absl::InvalidArgumentError(
        StrCat(where_, ": tensor ", name_, part, " has ", tensor.byte_count, " bytes of dtype ",
               DTypeName(tensor.dtype), ", expected ", count, " elements of ", DTypeName(dtype)));
  }

  // Codes must stand for the numbers that they stand for here.
  absl::Status CheckNumbers(std::string_view part, absl::Span<const float> expected) const {
    TUNESMITH_ASSIGN_OR_RETURN(const Entry entry,
                               Find(part, DType::kF32, static_cast<int64_t>(expected.size())));
    if (std::memcmp(entry.Bytes().data(), expected.data(), entry.Bytes().size()) == 0)
      return absl::OkStatus();
    return absl::UnimplementedError(
        StrCat(where_, ": tensor ", name_, part, " holds other numbers than bitsandbytes' NF4"));
  }

 private:
  const SafetensorsDirectory& files_;
  const std::string& name_;
  std::string where_;
};

template <typename T>
std::vector<T> Values(const Entry& entry) {
  std::vector<T> values(entry.Bytes().size() / sizeof(T));
  std::memcpy(values.data(), entry.Bytes().data(), entry.Bytes().size());
  entry.Release();
  return values;
}

// Refuses sizes of blocks that are not ours.
absl::Status CheckBlock(const json& state, const char* field, int64_t expected,
                        std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t size, JsonField<int64_t>(state, field, what));
  if (size == expected) return absl::OkStatus();
  return absl::UnimplementedError(
      StrCat(what, ": ", field, " ", size, " is not known here; ", expected, " is"));
}

}  // namespace

absl::StatusOr<Nf4Tensors::Matrix> Nf4Tensors::MatrixOf(const SafetensorsDirectory& files,
                                                        const std::string& name,
                                                        const std::string& where) {
  const Parts parts(files, name, where);
  const std::string state_name = StrCat(name, kState, "nf4"),
                    what = StrCat(where, ": ", state_name);
  TUNESMITH_ASSIGN_OR_RETURN(const json state,
                             ParseJson(files.entries().find(state_name)->second.Bytes(), what));
  TUNESMITH_RETURN_IF_ERROR(CheckBlock(state, "blocksize", planner::kNf4BlockSize, what));
  Matrix matrix;
  TUNESMITH_ASSIGN_OR_RETURN(matrix.shape, JsonField<std::vector<int64_t>>(state, "shape", what));
  if (matrix.shape.size() != 2 || matrix.shape[0] < 1 || matrix.shape[1] < 1 ||
      matrix.shape[0] > (int64_t{1} << 31) || matrix.shape[1] > (int64_t{1} << 31) ||
      matrix.shape[0] * matrix.shape[1] % 2 != 0) {
    return absl::InvalidArgumentError(
        StrCat(what, ": \"shape\" must be two sizes with an even product"));
  }
  const int64_t count = matrix.shape[0] * matrix.shape[1],
                blocks = CeilDivide(count, planner::kNf4BlockSize);
  TUNESMITH_ASSIGN_OR_RETURN(matrix.codes, parts.Find("", DType::kU8, count / 2));
  TUNESMITH_RETURN_IF_ERROR(parts.CheckNumbers(".quant_map", kNf4Values));
  if (!state.contains("nested_blocksize")) {
    TUNESMITH_ASSIGN_OR_RETURN(matrix.absmax, parts.Find(".absmax", DType::kF32, blocks));
    return matrix;
  }
  TUNESMITH_RETURN_IF_ERROR(
      CheckBlock(state, "nested_blocksize", planner::kNf4ScaleBlockSize, what));
  TUNESMITH_ASSIGN_OR_RETURN(const double offset, JsonField<double>(state, "nested_offset", what));
  matrix.offset = static_cast<float>(offset);
  TUNESMITH_RETURN_IF_ERROR(parts.CheckNumbers(".nested_quant_map", kSignedMap.values));
  TUNESMITH_ASSIGN_OR_RETURN(matrix.absmax, parts.Find(".absmax", DType::kU8, blocks));
  TUNESMITH_ASSIGN_OR_RETURN(
      matrix.scales,
      parts.Find(".nested_absmax", DType::kF32, CeilDivide(blocks, planner::kNf4ScaleBlockSize)));
  return matrix;
}

absl::StatusOr<Nf4Tensors> Nf4Tensors::Find(std::string_view where,
                                            const SafetensorsDirectory& files) {
  Nf4Tensors tensors;
  for (const auto& [state_name, entry] : files.entries()) {
    const size_t at = state_name.find(kState);
    if (at == std::string::npos) continue;
    const std::string type = state_name.substr(at + kState.size()), name = state_name.substr(0, at);
    if (type != "nf4") {
      return absl::UnimplementedError(StrCat(where, ": tensor ", name, " is stored as ", type,
                                             ", which is not known here; nf4 is"));
    }
    TUNESMITH_ASSIGN_OR_RETURN(Matrix matrix, MatrixOf(files, name, std::string(where)));
    tensors.matrices_.emplace(name, std::move(matrix));
  }
  return tensors;
}

const std::vector<int64_t>* Nf4Tensors::ShapeOf(std::string_view name) const {
  const auto found = matrices_.find(name);
  return found == matrices_.end() ? nullptr : &found->second.shape;
}

bool Nf4Tensors::IsPart(std::string_view name) const {
  if (const size_t at = name.find(kState); at != name.npos)
    return ShapeOf(name.substr(0, at)) != nullptr;
  for (const std::string_view part : kParts) {
    if (name.ends_with(part) && ShapeOf(name.substr(0, name.size() - part.size())) != nullptr)
      return true;
  }
  return false;
}

Nf4Weight Nf4Tensors::Read(std::string_view name) const {
  const Matrix& matrix = matrices_.find(name)->second;
  Nf4Weight weight{.codes = Values<uint8_t>(matrix.codes)};
  if (matrix.scales.tensor == nullptr) {
    weight.absmax = Values<float>(matrix.absmax);
    return weight;
  }
  weight.absmax_codes = Values<uint8_t>(matrix.absmax);
  weight.absmax_scales = Values<float>(matrix.scales);
  weight.absmax_offset = matrix.offset;
  return weight;
}

}  // namespace tunesmith::trainer
