#include "trainer/ops/rope.h"

#include <algorithm>
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

RopeArgs Filled(RopeArgs args) {
  if (args.rotary_size == 0) args.rotary_size = args.head_size;
  return args;
}

const RopeScaling& ScalingOf(const RopeArgs& args) {
  static const RopeScaling kNone;
  return args.scaling == nullptr ? kNone : *args.scaling;
}

absl::Status Check(OpKind op, const RopeArgs& args) {
  const int64_t BT = args.x.dims[0], D = args.head_size, R = Filled(args).rotary_size;
  TUNESMITH_RETURN_IF_ERROR(
      CheckThat(op, R > 0 && R % 2 == 0 && R <= kMaxRopeHeadSize && R <= D,
                "rotary_size is not an even number from 2 to 512, at most head_size"));
  TUNESMITH_RETURN_IF_ERROR(CheckThat(op, args.theta > 0, "rope_theta is not positive"));
  const RopeScaling& scaling = ScalingOf(args);
  if (scaling.kind == RopeScalingKind::kLongRope) {
    const auto pairs = static_cast<size_t>(R / 2);
    TUNESMITH_RETURN_IF_ERROR(
        CheckThat(op, scaling.short_factors.size() == pairs && scaling.long_factors.size() == pairs,
                  "LongRoPE has not one factor for each rotated pair"));
  }
  // Columns behind the heads are let be; a row with fewer is named with the width that it lacks.
  const int64_t width = std::max(args.x.dims[1], args.head_count * D);
  return CheckTensors(op, {
                              {"x", args.x, {BT, width}, kComputeDTypes},
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

// Where, among the pairs, as many turns happen within the original context.
double PairOfTurns(double turns, int64_t rotary_size, double theta, const RopeScaling& scaling) {
  const double context = static_cast<double>(scaling.original_context_limit);
  return static_cast<double>(rotary_size) * std::log(context / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(theta));
}

void ScaleYarn(double theta, const RopeScaling& scaling, std::vector<double>& frequencies) {
  const auto size = static_cast<int64_t>(2 * frequencies.size());
  const double low =
      std::max(0.0, std::floor(PairOfTurns(scaling.beta_fast, size, theta, scaling)));
  double high = std::min(static_cast<double>(size - 1),
                         std::ceil(PairOfTurns(scaling.beta_slow, size, theta, scaling)));
  if (high == low) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double divided = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= 1 - divided + divided / scaling.factor;
  }
}

void ScaleLongRope(const RopeScaling& scaling, int64_t context, std::vector<double>& frequencies) {
  const std::vector<double>& factors =
      context > scaling.original_context_limit ? scaling.long_factors : scaling.short_factors;
  for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
}

void Scale(double theta, const RopeScaling& scaling, int64_t context,
           std::vector<double>& frequencies) {
  switch (scaling.kind) {
    case RopeScalingKind::kNone:
    case RopeScalingKind::kDynamic:
      return;
    case RopeScalingKind::kLinear:
      for (double& frequency : frequencies) frequency /= scaling.factor;
      return;
    case RopeScalingKind::kLlama3:
      for (double& frequency : frequencies) frequency = Llama3Frequency(frequency, scaling);
      return;
    case RopeScalingKind::kYarn:
      return ScaleYarn(theta, scaling, frequencies);
    case RopeScalingKind::kLongRope:
      return ScaleLongRope(scaling, context, frequencies);
  }
}

}  // namespace

std::vector<double> RopeFrequencies(int64_t rotary_size, double theta, const RopeScaling& scaling,
                                    int64_t context) {
  std::vector<double> frequencies(rotary_size / 2);
  for (int64_t i = 0; i < rotary_size / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(rotary_size);
    frequencies[i] = std::pow(theta, exponent);
  }
  Scale(theta, scaling, context, frequencies);
  return frequencies;
}

double RopeAmplitude(const RopeScaling& scaling) {
  const bool yarn = scaling.kind == RopeScalingKind::kYarn;
  if (!yarn && scaling.kind != RopeScalingKind::kLongRope) return 1.0;
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  if (scaling.factor <= 1) return 1.0;
  const double extension = std::log(scaling.factor);
  return yarn ? 0.1 * extension + 1.0
              : std::sqrt(1 + extension /
                                  std::log(static_cast<double>(scaling.original_context_limit)));
}

std::vector<double> RopeFrequencies(const RopeArgs& args) {
  return RopeFrequencies(args.rotary_size, args.theta, ScalingOf(args), args.context);
}

double RopeAmplitude(const RopeArgs& args) { return RopeAmplitude(ScalingOf(args)); }

absl::Status Rope(const OpContext& context, const RopeArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kRope, args));
  return Dispatch(context, Filled(args), cpu::Rope, cuda::Rope);
}

absl::Status RopeBackward(const OpContext& context, const RopeArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(Check(OpKind::kRopeBackward, args));
  return Dispatch(context, Filled(args), cpu::RopeBackward, cuda::RopeBackward);
}

}  // namespace tunesmith::trainer
