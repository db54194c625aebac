#include "planner/model/model_tensors.h"

#include <algorithm>

namespace tunesmith::planner {

ProjectionShape ShapeOfProjection(const ModelSpec& model, int projection) {
  const int64_t query_size = model.head_count * model.head_size,
                kv_size = model.kv_head_count * model.head_size;
  const int64_t mlp_size = model.intermediate_size * std::max<int64_t>(1, model.expert_count);
  switch (projection) {
    case kProjectionQ:
      return {query_size, model.hidden_size};
    case kProjectionK:
    case kProjectionV:
      return {kv_size, model.hidden_size};
    case kProjectionO:
      return {model.hidden_size, query_size};
    case kProjectionDown:
      return {model.hidden_size, mlp_size};
    default:
      return {mlp_size, model.hidden_size};
  }
}

bool HasProjection(const ModelSpec& model, int projection) {
  return projection != kProjectionGate || !model.plain_mlp;
}

bool HasBias(const ModelSpec& model, int projection) {
  if (projection <= kProjectionV) return model.qkv_bias;
  return projection == kProjectionO ? model.output_bias : model.mlp_bias;
}

}  // namespace tunesmith::planner
