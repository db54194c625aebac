#include "trainer/job/load_adapter.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/text.h"
#include "planner/model/model_tensors.h"
#include "trainer/model_io/base_checksum.h"

namespace tunesmith::trainer {
namespace {

// The projections that a module holds; 0: none.
uint32_t ProjectionsOf(const planner::ModelSpec& model, const AdapterModule& module) {
  uint32_t bits = 0;
  planner::ForEachLayerTensor(model, [&](const planner::ModelTensor& tensor) {
    if (!module.name.ends_with(std::string(".") + tensor.module)) return;
    for (int i = 0; i < tensor.projection_count; ++i) bits |= 1u << (tensor.first_projection + i);
  });
  return bits;
}

std::string NameOfBase(const Adapter& adapter) {
  return adapter.base_model.empty() ? "it does not say which" : adapter.base_model;
}

absl::Status CheckWeights(const Adapter& adapter, const WeightSource& weights) {
  if (adapter.any_base || adapter.base_checksum.empty()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string checksum, BaseChecksum(weights));
  if (checksum == adapter.base_checksum) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the adapter was trained on other weights of this shape (", NameOfBase(adapter),
             "): their norms have checksum ", adapter.base_checksum, ", this model's ", checksum,
             "; name that model, or add --any-base to use this one all the same"));
}

}  // namespace

absl::StatusOr<planner::LoraSpec> LoraOf(const Adapter& adapter, const WeightSource& weights) {
  planner::LoraSpec lora{.rank = adapter.rank,
                         .alpha = adapter.alpha,
                         .targets = 0,
                         .rank_stabilized = adapter.rank_stabilized,
                         .dropout = adapter.dropout};
  std::vector<std::string> problems;
  for (const AdapterModule& module : adapter.modules) {
    const uint32_t projections = ProjectionsOf(weights.spec(), module);
    absl::StatusOr<std::vector<int64_t>> shape = weights.Shape(module.name + ".weight");
    if (projections == 0 || !shape.ok()) {
      problems.push_back(StrCat(module.name, " is not a linear layer of this model"));
      continue;
    }
    if (weights.spec().family == "gpt2") std::reverse(shape->begin(), shape->end());
    if ((*shape)[0] != module.output_size || (*shape)[1] != module.input_size)
      problems.push_back(StrCat(module.name, " is for a layer of ", module.output_size, " x ",
                                module.input_size, ", the model's has ", (*shape)[0], " x ",
                                (*shape)[1]));
    lora.targets |= projections;
  }
  if (!problems.empty())
    return absl::FailedPreconditionError(StrCat("the adapter was made for another model (",
                                                NameOfBase(adapter),
                                                "): ", StrJoin(problems, "; ")));
  if (lora.targets == 0) return absl::FailedPreconditionError("the adapter has no modules");
  TUNESMITH_RETURN_IF_ERROR(CheckWeights(adapter, weights));
  return lora;
}

absl::Status LoadAdapter(const Adapter& adapter, Session& session) {
  for (const AdapterModule& module : adapter.modules) {
    TUNESMITH_RETURN_IF_ERROR(session.WriteWeight(module.name + ".lora_A.weight", module.a));
    TUNESMITH_RETURN_IF_ERROR(session.WriteWeight(module.name + ".lora_B.weight", module.b));
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
