#include "trainer/model_io/safetensors_weights.h"

#include <map>
#include <utility>

#include "common/file.h"
#include "common/float_conversion.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/tensor_check.h"

namespace tunesmith::trainer {
namespace {

constexpr std::string_view kHead = "lm_head.weight";

class SafetensorsWeights : public WeightSource {
 public:
  SafetensorsWeights(planner::ModelSpec spec, SafetensorsDirectory directory)
      : WeightSource(std::move(spec)), directory_(std::move(directory)) {}

  absl::Status Read(std::string_view name, absl::Span<float> out) const override {
    TUNESMITH_RETURN_IF_ERROR(CheckRead(name, out.size()));
    const SafetensorsDirectory::Entry& entry = directory_.entries().find(name)->second;
    return FloatsFromBytes(entry.tensor->dtype, entry.Bytes(), out);
  }

 private:
  SafetensorsDirectory directory_;
};

// Tensors that some checkpoints carry and no model reads: tables of rotary frequencies
// (transformers before 4.32), and a copy of the embedding as the head of a tied model.
bool IsIgnored(std::string_view name, bool tied_head) {
  return name.ends_with(".rotary_emb.inv_freq") || (tied_head && name == kHead);
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
  if (files.entries().find(kHead) == files.entries().end()) spec.tied_head = true;
  std::map<std::string, std::vector<int64_t>> found;
  for (const auto& [name, entry] : files.entries()) {
    if (!IsIgnored(name, spec.tied_head)) found.emplace(name, entry.tensor->shape);
  }
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(directory, "config.json", TensorsOfModel(spec), found));
  TUNESMITH_RETURN_IF_ERROR(CheckDTypes(directory, files));
  return std::make_unique<SafetensorsWeights>(std::move(spec), std::move(files));
}

}  // namespace tunesmith::trainer
