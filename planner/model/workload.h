#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "planner/model/length_histogram.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// What is to be trained on, as far as shapes and time depend on it. Every row is padded or packed to `context` tokens.
struct Workload {
  int64_t context = 0;  // tokens per row
  // Rows per optimizer step over all ranks; tokens per step = rows_per_step x context.
  int64_t rows_per_step = 0;
  int64_t document_capacity = 0;  // most documents that the packer puts into one row; 0: any number
  // Most tokens of a row that the packer lets be predicted; 0: any number. Below the context, the output head and the loss are computed on so
  // many tokens of a row instead of on all.
  int64_t loss_token_capacity = 0;
  // How long the documents are; empty: not known, rows are taken to be one document each.
  LengthHistogram length_histogram = {};
  // Tokens of one pass over the data set; 0: not known, no total time is given.
  int64_t dataset_token_count = 0;
  double epoch_count = 1.0;
  bool evaluates = true;  // the evaluate segment runs during the job (its memory counts)
  bool generates = true;  // the generate segment may run (its memory counts)

  bool operator==(const Workload&) const = default;
};

// Tokens of a row that the output head and the loss are computed on: the capacity, or all.
int64_t LossTokensPerRow(const Workload& workload);

// INVALID_ARGUMENT naming each field that is out of range, or a context beyond the model's limit with what the limit comes from.
// REQUIRES: ValidateModelSpec(model) is OK.
absl::Status ValidateWorkload(const Workload& workload, const ModelSpec& model);

}  // namespace tunesmith::planner
