// Any text: an error, or a plan that reads the same again, and whose program, if it can be built, lies within its arena and reads nothing
// that was not written.
#include <cstdint>
#include <string_view>

#include "planner/answer/candidates.h"
#include "planner/program/build_program.h"
#include "planner/program/check_program.h"
#include "planner/program/memory_plan.h"
#include "proto/convert/plan.h"
#include "tests/fuzz/require.h"

namespace tunesmith::convert {
namespace {

// Checking follows every execution of every op, so only short programs are checked.
constexpr int64_t kCheckedLayers = 4;
constexpr int64_t kCheckedRows = 1 << 16;

void CheckPlannedProgram(const Plan& plan) {
  const auto inputs = planner::InputsFor(plan.question, plan.prediction.mix);
  const absl::StatusOr<planner::Program> program = planner::BuildProgram(inputs);
  if (!program.ok()) return;
  Require(!planner::ProgramDigest(*program).empty());
  if (inputs.model.layer_count > kCheckedLayers ||
      inputs.mix.micro_batch * inputs.workload.context > kCheckedRows)
    return;
  const planner::MemoryPlan memory = planner::PlanMemory(*program);
  Require(memory.device_bytes() > 0 && planner::CheckProgram(*program, memory).ok());
}

void Check(std::string_view text) {
  const absl::StatusOr<Plan> plan = PlanFromJson(text);
  if (!plan.ok()) return;
  // Compared from the second reading on: JSON writes a negative zero as the integer -0.
  const absl::StatusOr<Plan> once = PlanFromJson(PlanToJson(*plan));
  Require(once.ok());
  const absl::StatusOr<Plan> twice = PlanFromJson(PlanToJson(*once));
  Require(twice.ok() && PlanToJson(*twice) == PlanToJson(*once));
  CheckPlannedProgram(*plan);
}

}  // namespace
}  // namespace tunesmith::convert

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tunesmith::convert::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
