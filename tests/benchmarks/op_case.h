#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/price/op_cost.h"
#include "planner/program/program.h"
#include "trainer/device_memory.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// One op of a step program alone on a device, with memory of its own and random operands: never zeros, on which devices run faster.
namespace tunesmith::trainer {

class OpCase {
 public:
  // `program` is read only here; what `context` points to must outlive the case. RESOURCE_EXHAUSTED where the operands do not fit.
  static absl::StatusOr<OpCase> Create(const planner::Program& program, const planner::Op& op,
                                       const OpContext& context);

  const OpCall& call() const { return call_; }
  const planner::OpCost& cost() const { return cost_; }
  // "(8192, 576) bf16, (1536, 576) bf16 -> (8192, 1536) bf16".
  std::string ShapeText() const;

 private:
  OpCall call_;
  planner::OpCost cost_;
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
};

}  // namespace tunesmith::trainer
