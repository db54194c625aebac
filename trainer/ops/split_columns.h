#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"

// What ranks of a micro-batch send each other: the columns of a matrix as parts one behind the other, and the way back. Letters: trainer/dims.h; S parts of W
// columns. Of C columns each is in one part, or, where S * W > C, in C / W times as many as there are then: part r begins at column r * C / S, rounded down to
// a multiple of W. INVALID_ARGUMENT: parts that do not make up the matrix. Other errors:
// trainer/ops/embedding.h.
namespace tunesmith::trainer {

struct SplitColumnsArgs {
  Tensor x;      // (N, C) T
  Tensor parts;  // (S * N, W) T, out
  int64_t part_count = 1;
};

absl::Status SplitColumns(const OpContext& context, const SplitColumnsArgs& args);

struct JoinColumnsArgs {
  Tensor parts;  // (S * N, W) T
  Tensor x;      // (N, C) T, out: what is in several parts is their sum, in the order of the parts
  int64_t part_count = 1;
};

absl::Status JoinColumns(const OpContext& context, const JoinColumnsArgs& args);

}  // namespace tunesmith::trainer
