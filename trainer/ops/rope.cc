#include "trainer/ops/rope.h"

#include <cmath>
#include <numbers>

#include "common/status_macros.h"
#include "trainer/ops/checks.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/rope_cpu.h"
#include "trainer/ops/rope_cuda.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;
using planner::RopeScaling;
using planner::RopeScalingKind;

absl::Status Check(OpKind op, const RopeArgs& args) {
  const int64_t BT = args.x.dims[0], D = args.head_size;
  TUNESMITH_RETURN_IF_ERROR(CheckThat(op, D > 0 && D % 2 == 0 && D <= kMaxRopeHeadSize,
                                      "head_size is not an even number from 2 to 512"));
  TUNESMITH_RETURN_IF_ERROR(CheckThat(op, args.theta > 0, "rope_theta is not positive"));
  return CheckTensors(op, {
                              {"x", args.x, {BT, args.head_count * D}, kComputeDTypes},
                              {"positions", args.positions, {BT}, DType::kI32},
                          });
}

double Llama3Frequency(double frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double periods = static_cast<double>(scaling.original_context_limit) / wavelength;
  if (periods < scaling.low_frequency_factor) return frequency / scaling.factor;
  if (periods > scaling.high_frequency_factor) return frequency;
  const double smooth = (periods - scaling.low_frequency_factor) /
                        (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

double ScaledFrequency(double frequency, const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScalingKind::kNone:
      return frequency;
    case RopeScalingKind::kLinear:
      return frequency / scaling.factor;
    case RopeScalingKind::kLlama3:
      return Llama3Frequency(frequency, scaling);
  }
  return frequency;
}

}  // namespace

std::vector<double> RopeFrequencies(int64_t head_size, double theta, const RopeScaling& scaling) {
  std::vector<double> frequencies(head_size / 2);
  for (int64_t i = 0; i < head_size / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_size);
    frequencies[i] = ScaledFrequency(std::pow(theta, exponent), scaling);
  }
  return frequencies;
}

absl::Status Rope(const OpContext& context, const RopeArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kRope, args));
  return Dispatch(context, args, cpu::Rope, cuda::Rope);
}

absl::Status RopeBackward(const OpContext& context, const RopeArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kRopeBackward, args));
  return Dispatch(context, args, cpu::RopeBackward, cuda::RopeBackward);
}

}  // namespace tunesmith::trainer
