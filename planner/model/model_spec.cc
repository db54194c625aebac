#include "planner/model/model_spec.h"

#include <algorithm>
#include <cmath>

#include "common/text.h"
#include "planner/model/model_fields.h"
#include "planner/model/model_tensors.h"

namespace tunesmith::planner {
namespace {

// Elements of all tensors that `for_each` visits, of the experts' those that one token goes through if `active_only`.
template <typename ForEach>
int64_t CountElements(const ModelSpec& spec, ForEach for_each, bool active_only) {
  int64_t count = 0;
  for_each(spec, [&](const ModelTensor& tensor) {
    const bool experts = spec.expert_count > 0 && tensor.first_projection >= kProjectionGate;
    count += experts && active_only
                 ? tensor.element_count() / spec.expert_count * spec.active_expert_count
                 : tensor.element_count();
  });
  return count;
}

int64_t Count(const ModelSpec& spec, bool active_only) {
  const auto top = [](const ModelSpec& s, auto visit) { ForEachTopTensor(s, visit); };
  const auto layer = [](const ModelSpec& s, auto visit) { ForEachLayerTensor(s, visit); };
  return CountElements(spec, top, active_only) +
         spec.layer_count * CountElements(spec, layer, active_only);
}

}  // namespace

absl::Status ValidateModelSpec(const ModelSpec& spec) {
  const std::vector<ModelProblem> problems = ModelProblems(spec, FieldNaming::kSpec);
  if (problems.empty()) return absl::OkStatus();
  std::vector<std::string> texts;
  for (const ModelProblem& problem : problems) texts.push_back(problem.text);
  return absl::InvalidArgumentError(StrCat("model '", spec.name, "': ", StrJoin(texts, "; ")));
}

int64_t ParameterCount(const ModelSpec& spec) { return Count(spec, /*active_only=*/false); }

int64_t ActiveParameterCount(const ModelSpec& spec) { return Count(spec, /*active_only=*/true); }

int64_t ContextLimitOf(const ModelSpec& spec) {
  constexpr double kMost = 1 << 30;  // as model_fields.h takes for context_limit
  const RopeScaling& scaling = spec.rope_scaling;
  if (scaling.kind != RopeScalingKind::kYarn) return spec.context_limit;
  const double extended = scaling.factor * static_cast<double>(scaling.original_context_limit);
  return std::max<int64_t>(spec.context_limit, std::llround(std::min(kMost, extended)));
}

double AttentionScale(const ModelSpec& spec) {
  if (spec.attention_scale > 0) return spec.attention_scale;
  return 1.0 / std::sqrt(static_cast<double>(spec.head_size));
}

}  // namespace tunesmith::planner
