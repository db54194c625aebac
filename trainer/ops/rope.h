#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "planner/model/model_spec.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in the rotate-half form of Hugging
// Face's Llama: in each head, of the first R elements i pairs with i + R/2 and turns by the angle position
// * frequency[i]; the others stay. Letters: trainer/dims.h; errors: trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct RopeArgs {
  Tensor x;          // (BT, C) T, in place: the first heads * D columns
  Tensor positions;  // (BT) i32, each >= 0
  int64_t head_count = 0;
  int64_t head_size = 0;    // D
  int64_t rotary_size = 0;  // R, even, at most D and kMaxRopeHeadSize; 0: D
  double theta = 0.0;
  const planner::RopeScaling* scaling = nullptr;  // null: none
  int64_t context = 0;                            // tokens of a row; only kLongRope asks
};

inline constexpr int64_t kMaxRopeHeadSize = 512;

// The frequencies that arguments with all sizes given ask for, and the amplitude.
std::vector<double> RopeFrequencies(const RopeArgs& args);
double RopeAmplitude(const RopeArgs& args);

// Rotates by the angle. In f32 and bf16 the frequencies and the angles are rounded to f32, as
// Hugging Face does, so that adapters agree there at long positions.
absl::Status Rope(const OpContext& context, const RopeArgs& args);

// Rotates by the negative angle: the gradient of Rope, x being the gradient.
absl::Status RopeBackward(const OpContext& context, const RopeArgs& args);

// R/2 frequencies: theta^(-2i/R), scaled. kLinear divides them by the factor. kLlama3 divides those
// whose wavelength exceeds original_context_limit / low_frequency_factor, keeps those below
// original_context_limit / high_frequency_factor, and blends between (Hugging Face,
// modeling_rope_utils.py, _compute_llama3_parameters). kYarn blends between kept and divided frequencies over a range of i (Peng et al. 2023, arXiv
// 2309.00071, section 3.2; the range is rounded outward to whole i, as Hugging Face does). kLongRope divides each by a factor of its own (Ding et al. 2024, arXiv 2402.13753), the long ones
// where `context` is above original_context_limit: one choice for a whole job, where Hugging Face's follows the longest row of each batch. kDynamic changes
// nothing.
std::vector<double> RopeFrequencies(int64_t rotary_size, double theta,
                                    const planner::RopeScaling& scaling, int64_t context = 0);

// What cosines and sines are multiplied by: 1, but for kYarn and kLongRope.
double RopeAmplitude(const planner::RopeScaling& scaling);

}  // namespace tunesmith::trainer
