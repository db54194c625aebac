#include "runtimes/shape.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/suggest.h"
#include "common/text.h"
#include "planner/model/catalog.h"
#include "planner/model/model_tensors.h"

namespace tunesmith::runtimes {
namespace {

// "tiiuae/falcon-180B-chat" has the shape of "falcon-180B".
bool IsNameOf(std::string_view asked, const ModelShape& shape) {
  asked = planner::WithoutOrganization(asked);
  for (const std::string_view suffix : {"-instruct", "-chat"}) {
    if (EndsWithIgnoreCase(asked, suffix)) asked = asked.substr(0, asked.size() - suffix.size());
  }
  return EqualsIgnoreCase(asked, planner::WithoutOrganization(shape.name));
}

std::vector<std::string> KnownNames() {
  std::vector<std::string> names;
  for (const planner::ModelSpec& spec : planner::ModelCatalog()) names.push_back(spec.name);
  for (const ModelShape& shape : ShapeTable()) {
    if (std::find(names.begin(), names.end(), shape.name) == names.end())
      names.push_back(shape.name);
  }
  return names;
}

}  // namespace

std::vector<LinearSize> BlockLinears(const ModelShape& shape) {
  const int64_t hidden = shape.hidden_size, mlp = shape.intermediate_size;
  const int64_t query = shape.head_count * shape.head_size;
  const int64_t kv = shape.kv_head_count * shape.head_size;
  const LinearSize gate = shape.gated_mlp ? LinearSize{hidden, mlp} : LinearSize{};
  const LinearSize k = shape.fused_qkv ? LinearSize{} : LinearSize{hidden, kv};
  const LinearSize q = {hidden, shape.fused_qkv ? query + 2 * kv : query};
  return {q, k, k, {query, hidden}, gate, {hidden, mlp}, {mlp, hidden}};
}

int64_t LinearParameterCount(const ModelShape& shape) {
  int64_t count = 0;
  for (const LinearSize& linear : BlockLinears(shape)) count += linear.columns * linear.rows;
  return count * shape.layer_count;
}

int64_t EmbeddingParameterCount(const ModelShape& shape) {
  return shape.vocab_size * shape.hidden_size * (shape.tied_head ? 1 : 2);
}

absl::StatusOr<ModelShape> ShapeFromModelSpec(const planner::ModelSpec& spec) {
  if (spec.expert_count > 0) {
    return absl::UnimplementedError(
        StrCat("model ", spec.name, " is a mixture of ", spec.expert_count,
               " experts; other runtimes are planned for dense models"));
  }
  int64_t held_with_q = 1;  // projections in q's module
  planner::ForEachLayerTensor(spec, [&](const planner::ModelTensor& tensor) {
    if (tensor.first_projection == planner::kProjectionQ) held_with_q = tensor.projection_count;
  });
  return ModelShape{.name = spec.name,
                    .layer_count = spec.layer_count,
                    .hidden_size = spec.hidden_size,
                    .intermediate_size = spec.intermediate_size,
                    .head_count = spec.head_count,
                    .kv_head_count = spec.kv_head_count,
                    .head_size = spec.head_size,
                    .vocab_size = spec.vocab_size,
                    .context_limit = planner::ContextLimitOf(spec),
                    .tied_head = spec.tied_head,
                    .gated_mlp = !spec.plain_mlp,
                    .fused_qkv = held_with_q > 1,
                    .rms_norm = spec.norm == planner::NormKind::kRms,
                    .rotary = spec.positions == planner::Positions::kRotary,
                    .soft_capped_logits = spec.logit_soft_cap > 0,
                    .parameter_count = planner::ParameterCount(spec),
                    .source = spec.source};
}

absl::StatusOr<ModelShape> FindShape(std::string_view name) {
  for (const ModelShape& shape : ShapeTable()) {
    if (IsNameOf(name, shape)) return shape;
  }
  const absl::StatusOr<planner::ModelSpec> spec = planner::FindModel(name);
  if (spec.ok()) return ShapeFromModelSpec(*spec);
  if (!absl::IsNotFound(spec.status())) return spec.status();
  return absl::NotFoundError(StrCat("no model '", name, "' is known to the runtimes; ",
                                    DidYouMean(planner::WithoutOrganization(name), KnownNames())));
}

}  // namespace tunesmith::runtimes
