#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/job/session.h"

namespace tunesmith::trainer {

struct EvaluateOptions {
  std::string model_path;    // Hugging Face directory or .gguf file
  std::string adapter_path;  // PEFT directory; empty: the model alone
  std::string dataset_path;
  int64_t context = 0;
  std::string device = "cpu";
  int64_t thread_count = 0;
  bool skip_bad_rows = false;
};

// Mean loss of a model, with an adapter if there is one, over a data set. Errors as SetUpJob; FAILED_PRECONDITION for an adapter whose modules are
// not the model's.
absl::StatusOr<EvaluationResult> EvaluateModel(const EvaluateOptions& options);

}  // namespace tunesmith::trainer
