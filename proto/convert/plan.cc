#include "proto/convert/plan.h"

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/version.h"
#include "proto/convert/json.h"
#include "proto/convert/mix.h"
#include "proto/convert/model.h"
#include "proto/convert/prediction.h"
#include "proto/convert/violations.h"

namespace tunesmith::convert {
namespace {

planner::Question InputsFromProto(const v1::PlanInputs& proto, std::string_view field,
                                  Violations& violations) {
  const auto path = [&](std::string_view name) { return FieldPath(field, name); };
  planner::Question question;
  question.model = ModelSpecFromProto(proto.model(), path("model"), violations);
  question.workload = WorkloadFromProto(proto.workload(), path("workload"), violations);
  question.devices = DeviceGroupFromProto(proto.devices(), path("devices"), violations);
  question.method = MethodChoiceFromProto(proto.method(), path("method"), violations);
  if (proto.has_lora()) question.lora = LoraFromProto(proto.lora(), path("lora"), violations);
  question.double_quantization = !proto.single_quantization();
  question.precision = PrecisionChoiceFromProto(proto.precision(), path("precision"), violations);
  question.optimizer = OptimizerFromProto(proto.optimizer(), path("optimizer"), violations);
  question.optimizer_state =
      OptimizerStateFromProto(proto.optimizer_state(), path("optimizer_state"), violations);
  question.accumulation_dtype = AccumulationDtypeFromProto(proto.accumulation_dtype(),
                                                           path("accumulation_dtype"), violations);
  question.objective = ObjectiveFromProto(proto.objective(), path("objective"), violations);
  violations.AtLeast(path("memory_budget_bytes"), proto.memory_budget_bytes(), 0);
  question.memory_budget_bytes = proto.memory_budget_bytes();
  violations.AtLeast(path("host_memory_budget_bytes"), proto.host_memory_budget_bytes(), 0);
  question.host_memory_budget_bytes = proto.host_memory_budget_bytes();
  violations.AtLeast(path("pinned_memory_budget_bytes"), proto.pinned_memory_budget_bytes(), 0);
  question.pinned_memory_budget_bytes = proto.pinned_memory_budget_bytes();
  question.pinned = PinnedAxesFromProto(proto.pinned(), path("pinned"), violations);
  return question;
}

// What holds between inputs and mix.
void CheckMixAgainstInputs(const planner::Question& question, const planner::Mix& mix,
                           std::string_view field, Violations& violations) {
  violations.AddStatus(field, planner::ValidateMix(mix, question.model.layer_count));
  const int64_t rows = question.workload.rows_per_step;
  // Compared by division, as the product of three numbers from a file may overflow.
  const bool equal = rows % mix.micro_batch == 0 &&
                     rows / mix.micro_batch % mix.accumulation_count == 0 &&
                     rows / mix.micro_batch / mix.accumulation_count == mix.data_parallel;
  if (!equal) {
    violations.Add(field, StrCat("micro_batch(", mix.micro_batch, ") x accumulation_count(",
                                 mix.accumulation_count, ") x data_parallel(", mix.data_parallel,
                                 ") != rows_per_step(", rows, ")"));
  }
  const int64_t devices = question.devices.device_count;
  if (devices % mix.sequence_parallel != 0 || mix.data_parallel != devices / mix.sequence_parallel)
    violations.Add(field, StrCat(RanksText(mix), " != device_count(", devices, ")"));
}

}  // namespace

Plan MakePlan(const planner::Question& question, const planner::Prediction& prediction) {
  return {.question = question,
          .prediction = prediction,
          .calibration_id = question.calibration.id,
          .planner_version = Version()};
}

v1::PlanInputs InputsToProto(const planner::Question& question) {
  v1::PlanInputs proto;
  *proto.mutable_model() = ToProto(question.model);
  *proto.mutable_workload() = ToProto(question.workload);
  *proto.mutable_devices() = ToProto(question.devices);
  proto.set_method(ToProto(question.method));
  *proto.mutable_lora() = ToProto(question.lora);
  proto.set_single_quantization(!question.double_quantization);
  proto.set_precision(ToProto(question.precision));
  proto.set_optimizer(ToProto(question.optimizer));
  proto.set_optimizer_state(ToProto(question.optimizer_state));
  proto.set_accumulation_dtype(ToProto(question.accumulation_dtype));
  proto.set_objective(ToProto(question.objective));
  proto.set_memory_budget_bytes(question.memory_budget_bytes);
  proto.set_host_memory_budget_bytes(question.host_memory_budget_bytes);
  proto.set_pinned_memory_budget_bytes(question.pinned_memory_budget_bytes);
  if (question.pinned != planner::PinnedAxes{}) *proto.mutable_pinned() = ToProto(question.pinned);
  return proto;
}

v1::Plan ToProto(const Plan& plan) {
  v1::Plan proto;
  *proto.mutable_inputs() = InputsToProto(plan.question);
  *proto.mutable_mix() = ToProto(plan.prediction.mix);
  *proto.mutable_prediction() = ToProto(plan.prediction);
  proto.set_calibration_id(plan.calibration_id);
  proto.set_planner_version(plan.planner_version);
  proto.set_program_digest(plan.prediction.program_digest);
  return proto;
}

absl::StatusOr<Plan> PlanFromProto(const v1::Plan& proto, std::string_view field) {
  Violations violations;
  Plan plan;
  plan.question = InputsFromProto(proto.inputs(), FieldPath(field, "inputs"), violations);
  plan.prediction =
      PredictionFromProto(proto.prediction(), FieldPath(field, "prediction"), violations);
  plan.prediction.mix = MixFromProto(proto.mix(), FieldPath(field, "mix"), violations);
  plan.prediction.program_digest = proto.program_digest();
  plan.calibration_id = proto.calibration_id();
  plan.planner_version = proto.planner_version();
  if (proto.program_digest().empty())
    violations.Add(FieldPath(field, "program_digest"), "is empty");
  if (violations.empty()) {
    CheckMixAgainstInputs(plan.question, plan.prediction.mix, FieldPath(field, "mix"), violations);
  }
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  return plan;
}

std::string PlanToJson(const Plan& plan) { return ToJson(ToProto(plan)); }

absl::StatusOr<Plan> PlanFromJson(std::string_view json) {
  v1::Plan proto;
  TUNESMITH_RETURN_IF_ERROR(FromJson(json, "the plan", &proto));
  return PlanFromProto(proto);
}

absl::StatusOr<Plan> ReadPlanFile(const std::string& path) {
  v1::Plan proto;
  TUNESMITH_RETURN_IF_ERROR(ReadJsonFile(path, &proto));
  auto plan = PlanFromProto(proto);
  if (plan.ok()) return plan;
  return absl::InvalidArgumentError(StrCat(path, ": ", plan.status().message()));
}

absl::Status WritePlanFile(const std::string& path, const Plan& plan) {
  return WriteJsonFile(path, ToProto(plan));
}

}  // namespace tunesmith::convert
