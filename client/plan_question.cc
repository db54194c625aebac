#include "client/plan_question.h"

namespace tunesmith::client {

v1::Question QuestionOfPlan(const v1::PlanInputs& inputs) {
  v1::Question question;
  *question.mutable_model_spec() = inputs.model();
  *question.mutable_device_group() = inputs.devices();
  *question.mutable_workload() = inputs.workload();
  question.set_method(inputs.method());
  if (inputs.has_lora()) *question.mutable_lora() = inputs.lora();
  question.set_precision(inputs.precision());
  question.set_objective(inputs.objective());
  question.set_memory_budget_bytes(inputs.memory_budget_bytes());
  question.set_host_memory_budget_bytes(inputs.host_memory_budget_bytes());
  question.set_pinned_memory_budget_bytes(inputs.pinned_memory_budget_bytes());
  if (inputs.has_pinned()) *question.mutable_pinned() = inputs.pinned();
  question.set_optimizer(inputs.optimizer());
  question.set_optimizer_state(inputs.optimizer_state());
  question.set_accumulation_dtype(inputs.accumulation_dtype());
  question.set_single_quantization(inputs.single_quantization());
  return question;
}

}  // namespace tunesmith::client
