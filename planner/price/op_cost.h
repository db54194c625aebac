#pragma once

#include <cstdint>
#include <optional>

#include "planner/program/gemm_shape.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// Work of one op, from the shapes of its buffers.
struct OpCost {
  double flops =
      0;  // multiply and add counted apart; matrix products and attention only, others are bound by memory
  double bytes =
      0;  // each input read once, each output written once (twice more where it is added to)
};

// Query-key pairs that flash attention forms, over those in rows that one document fills: see RowStatistics.
struct PairFactors {
  double windowed = 1.0;  // in layers with the model's window, if it has one
  double full = 1.0;      // in layers without
};

// `accumulates`: the op adds to its outputs in this run (Accumulates in program.h). What differs between layers costs its mean in each.
OpCost CostOf(const Program& program, const Op& op, bool accumulates,
              const PairFactors& pairs = {});

// Which kernel an attention op is of, forward or backward; nothing for other ops.
std::optional<AttentionKernel> AttentionKernelOf(OpKind kind);
bool IsAttention(OpKind kind);

// Rows times heads that an attention op has at once.
int64_t SequenceCount(const Program& program, const Op& op);

// Floating-point operations of attention over B rows of T tokens in which `pair_share` of the T*T query-key pairs are seen: forward does two
// products of 2 * D per pair, backward five when it recomputes the scores (flash; FlashAttention-2, arXiv 2307.08691, section 3.1), else four.
double AttentionFlops(OpKind kind, const OpAttributes& attributes, int64_t token_count,
                      double pair_share);

}  // namespace tunesmith::planner
