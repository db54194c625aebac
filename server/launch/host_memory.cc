#include "server/launch/host_memory.h"

#include <algorithm>

#include "planner/model/model_tensors.h"
#include "planner/program/layer_parameters.h"
#include "proto/convert/plan.h"

namespace tunesmith::server {
namespace {

// Of all layers; 0 where the plan trains no adapter.
int64_t AdapterElementCount(const v1::Plan& proto) {
  const auto plan = convert::PlanFromProto(proto);
  if (!plan.ok() || plan->prediction.mix.method == planner::Method::kFull) return 0;
  const planner::ModelSpec& model = plan->question.model;
  const planner::LoraSpec& lora = plan->prediction.mix.lora;
  int64_t count = 0;
  planner::ForEachLayerTensor(model, [&](const planner::ModelTensor& tensor) {
    if (tensor.first_projection < 0 || tensor.bias) return;
    if (planner::IsAdapted(model, lora, tensor.first_projection))
      count += lora.rank * (tensor.dims[0] + tensor.dims[1]);
  });
  return count * model.layer_count;
}

}  // namespace

int64_t RanksPerNode(const v1::Plan& plan) {
  const v1::DeviceGroup& devices = plan.inputs().devices();
  return std::max<int64_t>(1, devices.device_count() / std::max<int64_t>(1, devices.node_count()));
}

int64_t HostBytesOf(const v1::Plan& plan, const v1::JobSpec& spec, int64_t rank_count) {
  const v1::MemoryPrediction& memory = plan.prediction().memory();
  const int64_t of_rank = spec.device() == "cpu" ? memory.total_bytes() : memory.host_bytes();
  const int64_t merging =
      spec.merge_output() ? AdapterElementCount(plan) * static_cast<int64_t>(sizeof(float)) : 0;
  return of_rank * rank_count + merging;
}

}  // namespace tunesmith::server
