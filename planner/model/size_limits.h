#pragma once

#include <cstdint>

#include "planner/model/model_spec.h"

// Why no product of sizes in the planner overflows 63 bits. Sizes are checked once, where they come in; behind that, plain arithmetic is safe.
//
//   Model. kSizeFields bounds each size, and ValidateModelSpec the parameters to 1e14 < 2^47. Their sum is formed from products below
//   2^58 (1024 layers x 2^20 hidden x 2^25 query and key widths x 2). With weights, gradients, moments and master copies of at most 8
//   bytes each, five buffers per parameter are below 2^53 bytes. Adapters of rank up to 2^14 on seven projections of at most 2^24 + 2^20
//   inputs and outputs in 1024 layers have 2^51.1 parameters: below 2^57 bytes.
//
//   Tokens. A step has at most kLargestStepTokenCount = 2^28 of them, so every index of a token fits the 32 bits of the index buffers,
//   and a micro-batch has at most 2^18 loss chunks, each of which the memory plan lists.
//
//   Activations. Tensors of tokens x width, and eager attention's scores, are products of three to five sizes whose single limits do not
//   suffice: MostActivationBytes and MostScoreBytes bound their sum in floating point, which cannot overflow, and what exceeds
//   kLargestBytes = 2^60 is refused. All classes together stay below 2^62.
//
//   Times are held in picoseconds: see planner/answer/price_limits.h.
namespace tunesmith::planner {

// Four times the largest batch that a published model was trained with (63 million tokens, DeepSeek-V3, arXiv 2412.19437).
inline constexpr int64_t kLargestStepTokenCount = int64_t{1} << 28;

// One exbibyte: more than all memory of any machine.
inline constexpr double kLargestBytes = 1152921504606846976.0;

// No fewer than all tensors of tokens x width that `token_count` tokens make at once: saved, in work, logits, and the caches of generation.
double MostActivationBytes(const ModelSpec& model, int64_t token_count);

// No fewer than eager attention's scores take for as many tokens in rows of `context`.
double MostScoreBytes(const ModelSpec& model, int64_t token_count, int64_t context);

}  // namespace tunesmith::planner
