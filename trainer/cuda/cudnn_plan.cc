#include "trainer/cuda/cudnn_plan.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

absl::Status Finalize(const Cudnn& cudnn, cudnnBackendDescriptor_t descriptor, const char* what) {
  return CudnnStatus(cudnn, cudnn.descriptor_finalize(descriptor), what);
}

absl::StatusOr<int64_t> GetInteger(const Cudnn& cudnn, cudnnBackendDescriptor_t descriptor,
                                   cudnnBackendAttributeName_t name) {
  int64_t value = 0, count = 0;
  TUNESMITH_RETURN_IF_ERROR(CudnnStatus(
      cudnn, cudnn.descriptor_get(descriptor, name, CUDNN_TYPE_INT64, 1, &count, &value),
      "cudnnBackendGetAttribute"));
  return value;
}

absl::StatusOr<CudnnPointer> Heuristics(const Cudnn& cudnn, cudnnBackendDescriptor_t graph,
                                        cudnnBackendDescriptor_t device) {
  TUNESMITH_ASSIGN_OR_RETURN(CudnnPointer heuristics,
                             MakeCudnnDescriptor(cudnn, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR));
  TUNESMITH_RETURN_IF_ERROR(SetCudnnValue(cudnn, heuristics.get(),
                                          CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, graph));
  TUNESMITH_RETURN_IF_ERROR(SetCudnnValue(cudnn, heuristics.get(), CUDNN_ATTR_ENGINEHEUR_MODE,
                                          CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A));
  if (device != nullptr) {
    TUNESMITH_RETURN_IF_ERROR(SetCudnnValue(cudnn, heuristics.get(),
                                            CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, device));
  }
  TUNESMITH_RETURN_IF_ERROR(
      Finalize(cudnn, heuristics.get(), "cudnnBackendFinalize of heuristics"));
  return heuristics;
}

// Best first; none where no engine takes the graph.
absl::StatusOr<std::vector<CudnnPointer>> ProposedConfigs(const Cudnn& cudnn,
                                                          cudnnBackendDescriptor_t heuristics) {
  int64_t count = 0;
  const auto get = [&](int64_t asked, void* configs) {
    return CudnnStatus(cudnn,
                       cudnn.descriptor_get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, asked, &count, configs),
                       "cudnnBackendGetAttribute of heuristics' results");
  };
  TUNESMITH_RETURN_IF_ERROR(get(0, nullptr));
  std::vector<CudnnPointer> configs(static_cast<size_t>(count));
  std::vector<cudnnBackendDescriptor_t> raw;
  for (CudnnPointer& config : configs) {
    TUNESMITH_ASSIGN_OR_RETURN(config,
                               MakeCudnnDescriptor(cudnn, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    raw.push_back(config.get());
  }
  if (!configs.empty()) TUNESMITH_RETURN_IF_ERROR(get(count, raw.data()));
  configs.resize(static_cast<size_t>(count));
  return configs;
}

absl::StatusOr<int64_t> EngineOf(const Cudnn& cudnn, cudnnBackendDescriptor_t config) {
  TUNESMITH_ASSIGN_OR_RETURN(const CudnnPointer engine,
                             MakeCudnnDescriptor(cudnn, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
  cudnnBackendDescriptor_t raw = engine.get();
  int64_t count = 0;
  TUNESMITH_RETURN_IF_ERROR(
      CudnnStatus(cudnn,
                  cudnn.descriptor_get(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw),
                  "cudnnBackendGetAttribute of a configuration's engine"));
  return GetInteger(cudnn, engine.get(), CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
}

absl::StatusOr<CudnnPointer> MakePlan(const Cudnn& cudnn, cudnnBackendDescriptor_t config,
                                      cudnnHandle_t handle) {
  TUNESMITH_ASSIGN_OR_RETURN(CudnnPointer plan,
                             MakeCudnnDescriptor(cudnn, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
  if (handle != nullptr) {
    TUNESMITH_RETURN_IF_ERROR(SetCudnnValue(cudnn, plan.get(), CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                                            CUDNN_TYPE_HANDLE, handle));
  }
  TUNESMITH_RETURN_IF_ERROR(SetCudnnValue(cudnn, plan.get(),
                                          CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, config));
  TUNESMITH_RETURN_IF_ERROR(Finalize(cudnn, plan.get(), "cudnnBackendFinalize of a plan"));
  return plan;
}

absl::StatusOr<CudnnPlan> PlanOf(const Cudnn& cudnn, CudnnPointer config, cudnnHandle_t handle) {
  CudnnPlan plan;
  TUNESMITH_ASSIGN_OR_RETURN(plan.plan, MakePlan(cudnn, config.get(), handle));
  TUNESMITH_ASSIGN_OR_RETURN(
      plan.workspace_bytes,
      GetInteger(cudnn, plan.plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  TUNESMITH_ASSIGN_OR_RETURN(plan.engine, EngineOf(cudnn, config.get()));
  plan.config = std::move(config);
  return plan;
}

}  // namespace

absl::StatusOr<CudnnPointer> DescribeCudnnDevice(const Cudnn& cudnn, const std::string& json) {
  TUNESMITH_ASSIGN_OR_RETURN(CudnnPointer device,
                             MakeCudnnDescriptor(cudnn, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR));
  TUNESMITH_RETURN_IF_ERROR(
      SetCudnnValues(cudnn, device.get(), CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                     CUDNN_TYPE_CHAR, static_cast<int64_t>(json.size()), json.data()));
  TUNESMITH_RETURN_IF_ERROR(Finalize(cudnn, device.get(), "cudnnBackendFinalize of a device"));
  return device;
}

absl::StatusOr<CudnnPlan> FindCudnnPlan(const Cudnn& cudnn, CudnnGraph graph,
                                        const CudnnTarget& target, int64_t workspace_cap) {
  TUNESMITH_ASSIGN_OR_RETURN(const CudnnPointer heuristics,
                             Heuristics(cudnn, graph.graph.get(), target.device));
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<CudnnPointer> configs,
                             ProposedConfigs(cudnn, heuristics.get()));
  absl::Status refused = absl::UnimplementedError(
      StrCat("cuDNN has no engine for the graph: ", CudnnLastError(cudnn)));
  int64_t least_bytes = std::numeric_limits<int64_t>::max();
  for (CudnnPointer& config : configs) {
    absl::StatusOr<CudnnPlan> plan = PlanOf(cudnn, std::move(config), target.handle);
    if (!plan.ok()) {
      refused = plan.status();
    } else if (plan->workspace_bytes <= workspace_cap) {
      plan->graph = std::move(graph);
      return plan;
    } else {
      least_bytes = std::min(least_bytes, plan->workspace_bytes);
    }
  }
  if (least_bytes == std::numeric_limits<int64_t>::max()) return refused;
  return absl::ResourceExhaustedError(StrCat("cuDNN needs a workspace of ", least_bytes,
                                             " bytes for the graph and is given ", workspace_cap));
}

}  // namespace tunesmith::trainer
