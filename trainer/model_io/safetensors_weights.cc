#include "trainer/model_io/safetensors_weights.h"

#include <map>
#include <optional>
#include <utility>

#include "common/file.h"
#include "common/float_conversion.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/tensor_check.h"
#include "trainer/model_io/tensor_names.h"

namespace tunesmith::trainer {
namespace {

class SafetensorsWeights : public WeightSource {
 public:
  // `names`: of the model's tensors, in the files.
  SafetensorsWeights(planner::ModelSpec spec, SafetensorsDirectory directory,
                     std::map<std::string, std::string, std::less<>> names)
      : WeightSource(std::move(spec)), directory_(std::move(directory)), names_(std::move(names)) {}

  absl::Status Read(std::string_view name, absl::Span<float> out) const override {
    TUNESMITH_RETURN_IF_ERROR(CheckRead(name, out.size()));
    const SafetensorsDirectory::Entry& entry =
        directory_.entries().find(names_.find(name)->second)->second;
    return FloatsFromBytes(entry.tensor->dtype, entry.Bytes(), out);
  }

 private:
  SafetensorsDirectory directory_;
  std::map<std::string, std::string, std::less<>> names_;
};

bool HasHead(const SafetensorsDirectory& files) {
  return files.entries().contains("lm_head.weight") || files.entries().contains("embed_out.weight");
}

absl::Status CheckDTypes(const std::string& directory, const SafetensorsDirectory& files) {
  for (const auto& [name, entry] : files.entries()) {
    const DType dtype = entry.tensor->dtype;
    if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
      return absl::UnimplementedError(StrCat(directory, ": tensor ", name, " has dtype ",
                                             DTypeName(dtype),
                                             "; weights are read from f32, f16 or bf16 files"));
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
  std::map<std::string, std::vector<int64_t>> found;
  std::map<std::string, std::string, std::less<>> names;
  for (const auto& [name, entry] : files.entries()) {
    const std::optional<std::string> canonical = CanonicalTensorName(spec, name);
    if (!canonical) continue;
    found.emplace(*canonical, entry.tensor->shape);
    names.emplace(*canonical, name);
  }
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(directory, "config.json", TensorsOfModel(spec), found));
  TUNESMITH_RETURN_IF_ERROR(CheckDTypes(directory, files));
  return std::make_unique<SafetensorsWeights>(std::move(spec), std::move(files), std::move(names));
}

}  // namespace tunesmith::trainer
