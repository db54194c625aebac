#pragma once

#include <cstdint>
#include <vector>

#include "trainer/data/batch.h"

namespace tunesmith::trainer {

// What one rank of a micro-batch has of it (planner/program/token_slice.h).
struct TokenSlice {
  std::vector<int32_t> tokens;           // of the slice
  std::vector<int32_t> positions;        // likewise
  std::vector<int32_t> document_starts;  // of all tokens of the batch
  // Where the loss is computed on fewer tokens than the slice has: which of these, ascending, -1: none. Else empty.
  std::vector<int32_t> loss_rows;
  std::vector<int32_t> labels;  // for every token of the slice, or for every entry of loss_rows
  int64_t valid_label_count = 0;
};

// Tokens [place x token_count, (place + 1) x token_count) of the batch. `label_count`: labels of the slice; token_count: one for each token. A slice that is the whole batch
// has its labels as they are.
// REQUIRES: the batch has these tokens; no more than label_count labels of the slice are valid.
TokenSlice SliceOf(const Batch& batch, int64_t place, int64_t token_count, int64_t label_count);

}  // namespace tunesmith::trainer
