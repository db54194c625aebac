#include "trainer/model_io/safetensors_weights.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/file.h"
#include "common/float_conversion.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/nf4_tensors.h"
#include "trainer/model_io/tensor_check.h"
#include "trainer/model_io/tensor_names.h"
#include "trainer/model_io/weight_layout.h"

namespace tunesmith::trainer {
namespace {

constexpr size_t kPieceElements = size_t{1} << 20;

class SafetensorsWeights : public WeightSource {
 public:
  // `names`: of the model's tensors, in the files.
  SafetensorsWeights(planner::ModelSpec spec, SafetensorsDirectory directory, Nf4Tensors nf4,
                     std::map<std::string, std::string, std::less<>> names)
      : WeightSource(std::move(spec)),
        directory_(std::move(directory)),
        nf4_(std::move(nf4)),
        names_(std::move(names)) {
    for (const NamedShape& tensor : TensorsOfModel(this->spec()))
      if (tensor.layout == planner::TensorLayout::kTransposed) turned_.insert(tensor.name);
  }

  absl::Status Read(std::string_view name, absl::Span<float> out) const override {
    TUNESMITH_RETURN_IF_ERROR(CheckRead(name, out.size()));
    const std::string& stored = names_.find(name)->second;
    if (nf4_.ShapeOf(stored) != nullptr) return ReadFromNf4(name, stored, out);
    const SafetensorsDirectory::Entry& entry = directory_.entries().find(stored)->second;
    return ReadInPieces(entry, out);
  }

  std::optional<Nf4Weight> ReadNf4(std::string_view name) const override {
    const auto found = names_.find(name);
    if (found == names_.end() || nf4_.ShapeOf(found->second) == nullptr) return std::nullopt;
    return nf4_.Read(found->second);
  }

 private:
  // So that the file's pages are not held beside the values, nor after them.
  static absl::Status ReadInPieces(const SafetensorsDirectory::Entry& entry,
                                   absl::Span<float> out) {
    const auto element_bytes = static_cast<size_t>(SizeOf(entry.tensor->dtype));
    for (size_t begin = 0; begin < out.size(); begin += kPieceElements) {
      const size_t count = std::min(kPieceElements, out.size() - begin);
      const std::string_view piece =
          entry.Bytes().substr(begin * element_bytes, count * element_bytes);
      TUNESMITH_RETURN_IF_ERROR(
          FloatsFromBytes(entry.tensor->dtype, piece, out.subspan(begin, count)));
      MappedFile::Release(piece);
    }
    return absl::OkStatus();
  }

  // bitsandbytes turns GPT-2's weights around.
  absl::Status ReadFromNf4(std::string_view name, const std::string& stored,
                           absl::Span<float> out) const {
    trainer::ReadNf4(nf4_.Read(stored), out);
    if (!turned_.contains(name)) return absl::OkStatus();
    const std::vector<float> turned =
        FromProgramOrder(spec(), planner::TensorLayout::kTransposed, (*nf4_.ShapeOf(stored))[0],
                         std::vector<float>(out.begin(), out.end()));
    std::copy(turned.begin(), turned.end(), out.begin());
    return absl::OkStatus();
  }

  SafetensorsDirectory directory_;
  Nf4Tensors nf4_;
  std::map<std::string, std::string, std::less<>> names_;
  std::set<std::string, std::less<>> turned_;
};

bool HasHead(const SafetensorsDirectory& files) {
  return files.entries().contains("lm_head.weight") || files.entries().contains("embed_out.weight");
}

// The shape that a matrix stored in 4 bits has in a checkpoint that is not: turned where the family turns its weights.
std::vector<int64_t> CheckpointShape(const std::vector<NamedShape>& expected,
                                     const std::string& name, std::vector<int64_t> rows) {
  const auto at = std::find_if(expected.begin(), expected.end(),
                               [&](const NamedShape& tensor) { return tensor.name == name; });
  if (at != expected.end() && at->layout == planner::TensorLayout::kTransposed)
    std::swap(rows[0], rows[1]);
  return rows;
}

absl::Status CheckDTypes(const std::string& directory, const SafetensorsDirectory& files,
                         const Nf4Tensors& nf4) {
  for (const auto& [name, entry] : files.entries()) {
    if (nf4.ShapeOf(name) != nullptr || nf4.IsPart(name)) continue;
    const DType dtype = entry.tensor->dtype;
    if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
      return absl::UnimplementedError(StrCat(directory, ": tensor ", name, " has dtype ",
                                             DTypeName(dtype),
                                             "; weights are read from f32, f16 or bf16 files, or "
                                             "from 4-bit ones of bitsandbytes (nf4)"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenSafetensorsModel(const std::string& directory) {
  const std::string config_path = StrCat(directory, "/config.json");
  TUNESMITH_ASSIGN_OR_RETURN(const std::string config, ReadFile(config_path));
  TUNESMITH_ASSIGN_OR_RETURN(planner::ModelSpec spec,
                             planner::ModelSpecFromConfigJson(config, directory));
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsDirectory files, SafetensorsDirectory::Open(directory));
  if (!HasHead(files)) spec.tied_head = true;
  TUNESMITH_ASSIGN_OR_RETURN(Nf4Tensors nf4, Nf4Tensors::Find(directory, files));
  const std::vector<NamedShape> expected = TensorsOfModel(spec);
  std::map<std::string, std::vector<int64_t>> found;
  std::map<std::string, std::string, std::less<>> names;
  for (const auto& [name, entry] : files.entries()) {
    const std::optional<std::string> canonical = CanonicalTensorName(spec, name);
    if (!canonical || nf4.IsPart(name)) continue;
    const std::vector<int64_t>* rows = nf4.ShapeOf(name);
    found.emplace(*canonical, rows == nullptr ? entry.tensor->shape
                                              : CheckpointShape(expected, *canonical, *rows));
    names.emplace(*canonical, name);
  }
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(directory, "config.json", expected, found));
  TUNESMITH_RETURN_IF_ERROR(CheckDTypes(directory, files, nf4));
  return std::make_unique<SafetensorsWeights>(std::move(spec), std::move(files), std::move(nf4),
                                              std::move(names));
}

}  // namespace tunesmith::trainer
