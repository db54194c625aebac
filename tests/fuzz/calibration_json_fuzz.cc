// Any text: an error, or a calibration that reads the same again and prices every op of a small program at a time that is positive.
#include <cstdint>
#include <string_view>

#include "planner/model/hardware.h"
#include "planner/price/price.h"
#include "planner/program/build_program.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "tests/fuzz/require.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::convert {
namespace {

absl::StatusOr<planner::Calibration> Read(std::string_view text) {
  v1::Calibration proto;
  if (absl::Status status = FromJson(text, "fuzz", &proto); !status.ok()) return status;
  Violations violations;
  planner::Calibration calibration = CalibrationFromProto(proto, "", violations);
  if (!violations.empty()) return violations.ToStatus();
  return calibration;
}

const planner::Program& SmallProgram() {
  static const auto* const program = new planner::Program(*planner::BuildProgram(planner::ToyInputs(
      planner::ToyModel(2, true),
      {.attention = planner::AttentionKernel::kFlash, .micro_batch = 2, .accumulation_count = 3})));
  return *program;
}

void Check(std::string_view text) {
  const absl::StatusOr<planner::Calibration> calibration = Read(text);
  if (!calibration.ok()) return;
  // Compared from the second reading on: JSON writes a negative zero as the integer -0.
  const absl::StatusOr<planner::Calibration> once = Read(ToJson(ToProto(*calibration)));
  Require(once.ok());
  const absl::StatusOr<planner::Calibration> twice = Read(ToJson(ToProto(*once)));
  Require(twice.ok() && ToJson(ToProto(*twice)) == ToJson(ToProto(*once)));
  static const auto* const cpu = new planner::Hardware(*planner::FindHardware("cpu"));
  const planner::PriceTable prices(*cpu, *calibration, planner::Precision::kFp32);
  const planner::StepPrice price = planner::PriceStep(SmallProgram(), prices);
  Require(price.compute_picoseconds > 0 && price.step_picoseconds >= price.compute_picoseconds);
}

}  // namespace
}  // namespace tunesmith::convert

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tunesmith::convert::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
