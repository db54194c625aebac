#include "proto/convert/question.h"

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "planner/model/catalog.h"
#include "proto/convert/mix.h"
#include "proto/convert/model.h"
#include "proto/convert/prediction.h"
#include "proto/convert/violations.h"

namespace tunesmith::convert {
namespace {

// Looks names up; what is missing goes to `violations`, what is unknown is the result.
absl::Status ResolveModel(const v1::Question& proto, planner::Question& question,
                          Violations& violations) {
  switch (proto.model_case()) {
    case v1::Question::kModelName: {
      TUNESMITH_ASSIGN_OR_RETURN(question.model, planner::FindModel(proto.model_name()));
      return absl::OkStatus();
    }
    case v1::Question::kModelSpec:
      question.model = ModelSpecFromProto(proto.model_spec(), "question.model_spec", violations);
      return absl::OkStatus();
    case v1::Question::MODEL_NOT_SET:
      break;
  }
  violations.Add("question.model_name", "is missing; name a model, or give model_spec");
  return absl::OkStatus();
}

absl::Status ResolveDevices(const v1::Question& proto, planner::Question& question,
                            Violations& violations) {
  switch (proto.devices_case()) {
    case v1::Question::kDeviceName: {
      TUNESMITH_ASSIGN_OR_RETURN(question.devices, planner::ParseDeviceGroup(proto.device_name()));
      question.devices.network_bytes_per_second = proto.network_bytes_per_second();
      return absl::OkStatus();
    }
    case v1::Question::kDeviceGroup:
      question.devices =
          DeviceGroupFromProto(proto.device_group(), "question.device_group", violations);
      return absl::OkStatus();
    case v1::Question::DEVICES_NOT_SET:
      break;
  }
  violations.Add(
      "question.device_name",
      "is missing; name devices such as \"8xA100-80GB\" or \"cpu\", or give device_group");
  return absl::OkStatus();
}

}  // namespace

void CheckMemoryBudget(int64_t budget_bytes, const planner::Hardware& hardware,
                       Violations& violations) {
  if (hardware.memory_bytes <= 0 || budget_bytes <= hardware.memory_bytes) return;
  violations.Add("question.memory_budget_bytes",
                 StrCat("is ", FormatBytes(budget_bytes), ", and ", hardware.name, " has ",
                        FormatBytes(hardware.memory_bytes),
                        "; name a device with more, or leave the budget out"));
}

absl::StatusOr<planner::Question> QuestionFromProto(const v1::Question& proto) {
  Violations violations;
  planner::Question question;
  question.workload = WorkloadFromProto(proto.workload(), "question.workload", violations);
  question.method = MethodChoiceFromProto(proto.method(), "question.method", violations);
  if (proto.has_lora()) question.lora = LoraFromProto(proto.lora(), "question.lora", violations);
  question.double_quantization = !proto.single_quantization();
  question.precision =
      PrecisionChoiceFromProto(proto.precision(), "question.precision", violations);
  question.optimizer = OptimizerFromProto(proto.optimizer(), "question.optimizer", violations);
  question.optimizer_state =
      OptimizerStateFromProto(proto.optimizer_state(), "question.optimizer_state", violations);
  question.accumulation_dtype = AccumulationDtypeFromProto(
      proto.accumulation_dtype(), "question.accumulation_dtype", violations);
  question.objective = ObjectiveFromProto(proto.objective(), "question.objective", violations);
  violations.AtLeast("question.memory_budget_bytes", proto.memory_budget_bytes(), 0);
  question.memory_budget_bytes = proto.memory_budget_bytes();
  violations.AtLeast("question.host_memory_budget_bytes", proto.host_memory_budget_bytes(), 0);
  question.host_memory_budget_bytes = proto.host_memory_budget_bytes();
  violations.AtLeast("question.pinned_memory_budget_bytes", proto.pinned_memory_budget_bytes(), 0);
  question.pinned_memory_budget_bytes = proto.pinned_memory_budget_bytes();
  violations.NonNegative("question.price_per_device_hour", proto.price_per_device_hour());
  question.pinned = PinnedAxesFromProto(proto.pinned(), "question.pinned", violations);
  if (proto.has_calibration()) {
    question.calibration =
        CalibrationFromProto(proto.calibration(), "question.calibration", violations);
  }
  const absl::Status model = ResolveModel(proto, question, violations);
  const absl::Status devices = ResolveDevices(proto, question, violations);
  CheckMemoryBudget(question.memory_budget_bytes, question.devices.hardware, violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_RETURN_IF_ERROR(model);
  TUNESMITH_RETURN_IF_ERROR(devices);
  return question;
}

absl::StatusOr<planner::Mix> MixChoiceFromProto(const v1::EstimateRequest& request) {
  Violations violations;
  planner::Mix mix;
  switch (request.mix_choice_case()) {
    case v1::EstimateRequest::kMix:
      mix = MixFromProto(request.mix(), "mix", violations);
      break;
    case v1::EstimateRequest::kMixLine: {
      auto parsed = planner::ParseMix(request.mix_line());
      violations.AddStatus("mix_line", parsed.status());
      if (parsed.ok()) mix = *std::move(parsed);
      break;
    }
    case v1::EstimateRequest::MIX_CHOICE_NOT_SET:
      violations.Add("mix", "is missing; give mix or mix_line");
      break;
  }
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  return mix;
}

}  // namespace tunesmith::convert
