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
  // `program` is read only here; what `context` points to must outlive the case. With `rotated_bytes` there are as many sets of operands, of the same values in
  // memory of their own, as hold so many bytes together (at most kMaxSets): who calls them in turn finds none in a cache that is smaller.
  // RESOURCE_EXHAUSTED where the operands do not fit.
  static absl::StatusOr<OpCase> Create(const planner::Program& program, const planner::Op& op,
                                       const OpContext& context, int64_t rotated_bytes = 0);
  static constexpr int64_t kMaxSets = 64;

  int64_t set_count() const { return static_cast<int64_t>(calls_.size()); }
  const OpCall& call(int64_t set = 0) const { return calls_[static_cast<size_t>(set)]; }
  // Of one call.
  const planner::OpCost& cost() const { return cost_; }
  // "(8192, 576) bf16, (1536, 576) bf16 -> (8192, 1536) bf16".
  std::string ShapeText() const;

 private:
  std::vector<OpCall> calls_;  // one for each set
  planner::OpCost cost_;
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
};

}  // namespace tunesmith::trainer
