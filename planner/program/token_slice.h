#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "planner/model/mix.h"
#include "planner/model/model_spec.h"
#include "planner/model/workload.h"

// Sequence parallel by all-to-all (DeepSpeed-Ulysses, arXiv 2309.14509). The S ranks of a micro-batch have a slice of its tokens each: of its B x T tokens, row
// by row, rank s of the S has [s x N, (s + 1) x N), N = B x T / S; a slice may end within a row, or hold several. All that works on a token by itself works on
// the slice. In attention rank s has all tokens and a share of the heads: of H query heads [s x H / S, (s + 1) x H / S), and the key/value heads that these
// attend to, which are its own share of K, or, where there are more ranks than such heads, one that it has in common with others.
//
//   q, k, v (N, all heads) -> all-to-all -> (S x N, heads of the rank) -> attention -> all-to-all -> (N, all heads)
namespace tunesmith::planner {

// Tokens of a micro-batch that a rank has.
int64_t SliceTokenCount(const Mix& mix, const Workload& workload);
// Of these, those that the output head and the loss are computed on: as many as the whole micro-batch may have, as all of them may lie in one slice.
int64_t SliceLossTokenCount(const Mix& mix, const Workload& workload);

// INVALID_ARGUMENT with the equation that does not hold: sequence_parallel divides tokens and heads, and divides the key/value heads or is a multiple of them.
absl::Status CheckTokenSlices(const ModelSpec& model, const Workload& workload, const Mix& mix);

}  // namespace tunesmith::planner
